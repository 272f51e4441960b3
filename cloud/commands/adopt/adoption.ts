import { resources, type KubeClient } from "#cloud/kube-client";
import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import type { Node } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { CloudCatalog } from "#shared/topics";
import { fetchDatabaseName } from "./database-name.ts";
import { adoptAnnotation, rejectsCloud } from "./rejection.ts";

export type AdoptionPort = Port<CloudCatalog, never, "database.adopt", "node.connected", never>;

export interface AdoptionParts {
  readonly port: AdoptionPort;
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Adoption extends Running {
  /** the name of this cloud's database, undefined when it may not be read */
  readonly database: string | undefined;
}

/** A node that needs longer to acknowledge is asked again when it reports its status or reconnects. */
const acknowledgeMs = 10_000;

/**
 * Reads the name of the cloud's database, and notifies nodes for which an operator adopted this cloud: the Node has an
 * annotation until the node has acknowledged it.
 */
export async function startAdoption(parts: AdoptionParts): Promise<Adoption> {
  const { port, kube } = parts;
  await using stack = new AsyncDisposableStack();
  const database = await fetchDatabaseName(kube, parts);
  if (database !== undefined) {
    const nodes = stack.use(kube.informer<Node>(resources.nodes));
    const sender = new AdoptionSender(parts, database);
    await nodes.synced;
    const check = (node: Node): void => sender.check(node);
    stack.use(nodes.watch({ added: check, updated: check }));
    stack.use(port.on("node.connected", ({ node }) => sender.check(nodes.get(node))));
  }
  return { ...running("adoption", stack.move()), database };
}

class AdoptionSender {
  readonly #parts: AdoptionParts;
  readonly #database: string;
  /** Names of nodes with a request under way. */
  readonly #sending = new Set<string>();

  constructor(parts: AdoptionParts, database: string) {
    this.#parts = parts;
    this.#database = database;
  }

  /** Sends the adoption when the Node has the annotation for this database. */
  check(node: Node | undefined): void {
    const name = node?.metadata.name ?? "";
    if (node?.metadata.annotations?.[adoptAnnotation] !== this.#database || this.#sending.has(name)) return;
    this.#sending.add(name);
    void this.#send(node).finally(() => this.#sending.delete(name));
  }

  /** A failure is retried at the node's next status report or connection. */
  async #send(node: Node): Promise<void> {
    const { kube, log } = this.#parts;
    const { name = "" } = node.metadata;
    try {
      if (rejectsCloud(node)) await this.#request(name);
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

  async #request(node: string): Promise<void> {
    const { port, log } = this.#parts;
    await port.ask("database.adopt", { node, database: this.#database, timeoutMs: acknowledgeMs });
    log.info("node accepted this cloud", { node });
  }
}
