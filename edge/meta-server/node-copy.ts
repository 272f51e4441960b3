import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ApiAnswer, NodeObjectRequest, StoredObject } from "#shared/topics";
import type { Node } from "#shared/kube";
import { LinkedRepeat } from "#edge/meta-server/cloud";
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
  readonly #repeat: LinkedRepeat;

  constructor(
    { node, wireNamespace }: { readonly node: string; readonly wireNamespace: string },
    deps: NodeCopyDeps,
  ) {
    this.#name = node;
    this.#namespace = wireNamespace;
    this.#deps = deps;
    this.#repeat = new LinkedRepeat({ firstMs, run: () => this.#read(), clock: deps.clock });
  }

  linkChanged(online: boolean): void {
    this.#repeat.linkChanged(online);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#repeat[Symbol.asyncDispose]();
  }

  async #read(): Promise<number> {
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
      return answer.object ? repeatMs : retryMs;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      log.debug("cannot read the Node of this node", { error });
      return retryMs;
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
