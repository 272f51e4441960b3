import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ApiAnswer, NodeObjectRequest, StoredObject } from "#shared/topics";
import type { Node } from "#shared/kube";
import type { Metas } from "#edge/store";

export interface NodeCopyDeps {
  readonly port: { ask(topic: "cloud.node", body: NodeObjectRequest): Promise<ApiAnswer<Node>> };
  readonly store: { readonly metas: Metas };
  readonly objects: { stored(object: StoredObject): void };
  readonly clock: Clock;
  readonly log: Logger;
}

/** As often as an unchanged node reports itself. */
const repeatMs = 300_000;
const retryMs = 30_000;
/** The Node is registered and reports itself first. */
const firstMs = 5_000;

/** Keeps this node's own Node in the database, which no controller sends, to show it without a link. */
export class NodeCopy implements AsyncDisposable {
  readonly #name: string;
  readonly #namespace: string;
  readonly #deps: NodeCopyDeps;
  #online = false;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(
    { node, wireNamespace }: { readonly node: string; readonly wireNamespace: string },
    deps: NodeCopyDeps,
  ) {
    this.#name = node;
    this.#namespace = wireNamespace;
    this.#deps = deps;
  }

  linkChanged(online: boolean): void {
    this.#online = online;
    this.#plan(firstMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#online = false;
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  #plan(waitMs: number): void {
    this.#timer?.[Symbol.dispose]();
    if (!this.#online) return;
    this.#timer = this.#deps.clock.after(waitMs, () => {
      this.#running = this.#read();
    });
  }

  async #read(): Promise<void> {
    const { port, log } = this.#deps;
    const operation = { verb: "get" } as const;
    try {
      const answer = await port.ask("cloud.node", {
        namespace: this.#namespace,
        name: this.#name,
        operation,
        timeoutMs: 10_000,
      });
      if (answer.object) this.#keep(answer.object);
      this.#plan(answer.object ? repeatMs : retryMs);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug("cannot read the Node of this node", { error });
      this.#plan(retryMs);
    }
  }

  #keep(node: Node): void {
    const { store, objects } = this.#deps;
    const name = { type: "node", namespace: "", name: this.#name };
    const key = store.metas.keyOf(name);
    const value = JSON.stringify(node);
    if (store.metas.find(key)?.value === value) return;
    store.metas.put({ key, type: "node", value });
    objects.stored(name);
  }
}
