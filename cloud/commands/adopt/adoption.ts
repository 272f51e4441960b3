import { randomUUID } from "node:crypto";
import { resources, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import type { Node } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { adoptRoute, newMessage } from "#shared/wire";
import { databaseName } from "./database-name.ts";
import { adoptAnnotation, isHeldBack } from "./held-node.ts";

export type AdoptionPort = Port<CloudCatalog, never, "node.request", "node.connected", never>;

export interface AdoptionParts {
  readonly port: AdoptionPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Adoption extends Running {
  /** the name of this cloud's database, undefined when it cannot be known */
  readonly database: string | undefined;
}

const answerMs = 10_000;

/**
 * Names the database, and tells nodes that an operator adopted this cloud for them, which an annotation of the Node
 * says until the node has heard of it.
 */
export async function startAdoption(parts: AdoptionParts): Promise<Adoption> {
  const { port, kube } = parts;
  await using stack = new AsyncDisposableStack();
  const database = await databaseName(kube, parts);
  if (database !== undefined) {
    const nodes = stack.use(kube.informer<Node>(resources.nodes));
    const teller = new Teller(parts, database);
    await nodes.synced;
    const look = (node: Node): void => teller.look(node);
    stack.use(nodes.watch({ added: look, updated: look }));
    stack.use(port.on("node.connected", ({ node }) => teller.look(nodes.get(node))));
  }
  return { ...running("adoption", stack.move()), database };
}

class Teller {
  readonly #parts: AdoptionParts;
  readonly #database: string;
  readonly #telling = new Set<string>();

  constructor(parts: AdoptionParts, database: string) {
    this.#parts = parts;
    this.#database = database;
  }

  look(node: Node | undefined): void {
    const name = node?.metadata.name ?? "";
    if (node?.metadata.annotations?.[adoptAnnotation] !== this.#database || this.#telling.has(name)) return;
    this.#telling.add(name);
    void this.#tell(node).finally(() => this.#telling.delete(name));
  }

  /** What fails is tried again at the node's next report or connection. */
  async #tell(node: Node): Promise<void> {
    const { kube, log } = this.#parts;
    const { name = "" } = node.metadata;
    try {
      if (isHeldBack(node)) await this.#ask(name);
      const patch = { metadata: { annotations: { [adoptAnnotation]: null } } };
      await kube.patch(resources.nodes, { name }, patch, { type: "merge" });
    } catch (error) {
      const level = error instanceof UnavailableError ? "debug" : "warn";
      log[level]("cannot send an adoption to a node", {
        node: name,
        error: describeError(error),
      });
    }
  }

  async #ask(node: string): Promise<void> {
    const { port, clock, log } = this.#parts;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    const message = newMessage(stamp, { ...adoptRoute, content: this.#database });
    await port.ask("node.request", { node, message, timeoutMs: answerMs });
    log.info("node accepted this cloud", { node });
  }
}
