import type { RuleBook } from "#cloud/router/rules";
import type { Port } from "#shared/bus";
import { nextTurn } from "#shared/clock";
import { describeError } from "#shared/errors";
import { contentDigest, type KubeObject, type Rule, type RuleEndpoint } from "#shared/kube";
import { KeyedQueue } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { choosesNode, concernsNode, type NamedNode } from "#shared/rules";
import type { CloudCatalog, DeliveredObject, RuleCommand } from "#shared/topics";
import type { NodeDirectory } from "./node-directory.ts";

/** What the deliveries ask on the bus. */
export type RuleDeliveryPort = Pick<
  Port<CloudCatalog, never, "object.deliver" | "object.delivered" | "rule.command", never, never>,
  "ask"
>;

export interface RuleDeliveriesOptions {
  readonly port: RuleDeliveryPort;
  readonly nodes: NodeDirectory;
  readonly book: () => RuleBook;
  readonly endpoint: (key: string) => RuleEndpoint | undefined;
  readonly log: Logger;
}

const apiVersion = "rules.kubeedge.io/v1";
const commandMs = 10_000;

/**
 * Keeps the nodes up to date with the rules that concern them: ours get Rules and RuleEndpoints as objects, until they acknowledge
 * them; those of KubeEdge get its messages on each change and each connect, since they keep nothing. Rules that are not in
 * effect are on no node.
 */
export class RuleDeliveries implements AsyncDisposable {
  readonly #options: RuleDeliveriesOptions;
  readonly #queues: KeyedQueue<string>;
  /** nodes that wait for a comparison: one that was asked for again meanwhile is done once */
  readonly #waiting = new Set<string>();
  /** node of KubeEdge → commands that it got, by text */
  readonly #told = new Map<string, Map<string, RuleCommand>>();
  /** Of the objects as the API has them: a change of one rule compares all of them with what every node has. */
  readonly #digests = new WeakMap<KubeObject, string>();

  constructor(options: RuleDeliveriesOptions) {
    this.#options = options;
    this.#queues = new KeyedQueue((node, error) =>
      options.log.warn("cannot send rules to a node now; it is compared again", {
        node,
        error: describeError(error),
      }),
    );
  }

  connected(node: string): void {
    this.#told.delete(node);
    this.compare(node);
  }

  disconnected(node: string): void {
    this.#told.delete(node);
  }

  /** Rules, endpoints or labels of nodes changed. */
  changed(): void {
    for (const node of this.#options.nodes.connectedNodes()) this.compare(node);
  }

  compare(node: string): void {
    if (this.#waiting.has(node)) return;
    this.#waiting.add(node);
    this.#queues.run(node, async () => {
      // A change of one rule may concern thousands of nodes.
      await nextTurn();
      this.#waiting.delete(node);
      const { nodes } = this.#options;
      if (!nodes.isConnected(node)) return;
      const named = nodes.get(node) ?? { name: node, labels: {} };
      await (nodes.isOurs(node) ? this.#compareObjects(named) : this.#compareCommands(named));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queues[Symbol.asyncDispose]();
  }

  async #compareObjects(node: NamedNode): Promise<void> {
    const { port } = this.#options;
    const delivered = await port.ask("object.delivered", { node: node.name });
    const ours = delivered.filter((object) => object.apiVersion === apiVersion);
    const wanted = this.#objectsOf(node);
    const uids = new Set(wanted.map(({ metadata }) => metadata.uid));
    for (const gone of ours.filter(({ uid }) => !uids.has(uid)))
      await this.#deliver(node, "delete", goneOf(gone));
    const known = new Map(ours.map((object) => [object.uid, object]));
    for (const object of wanted) {
      const record = known.get(object.metadata.uid ?? "");
      if (!this.#isCurrent(record, object)) await this.#deliver(node, record ? "update" : "insert", object);
    }
  }

  /** The status is no matter of the node. */
  #isCurrent(record: DeliveredObject | undefined, object: KubeObject): boolean {
    if (!record) return false;
    if (record.resourceVersion === object.metadata.resourceVersion) return true;
    return record.digest !== undefined && record.digest === this.#digestOf(object);
  }

  #digestOf(object: KubeObject): string {
    const known = this.#digests.get(object);
    if (known !== undefined) return known;
    const digest = contentDigest(forNode(object));
    this.#digests.set(object, digest);
    return digest;
  }

  /** Endpoints before the rules that need them. */
  #objectsOf(node: NamedNode): KubeObject[] {
    const { book, endpoint } = this.#options;
    const rules: Rule[] = [];
    const endpoints = new Map<string, RuleEndpoint>();
    for (const { rule, meaning } of book().rules.values()) {
      if (!meaning || !concernsNode(meaning, node)) continue;
      rules.push(rule);
      for (const name of [rule.spec?.source, rule.spec?.target]) {
        const key = `${meaning.namespace}/${name}`;
        const found = endpoint(key);
        if (found) endpoints.set(key, found);
      }
    }
    return [...endpoints.values(), ...rules];
  }

  async #deliver(
    { name }: NamedNode,
    operation: "delete" | "insert" | "update",
    object: KubeObject,
  ): Promise<void> {
    await this.#options.port.ask("object.deliver", { node: name, operation, object: forNode(object) });
  }

  async #compareCommands(node: NamedNode): Promise<void> {
    const wanted = this.#commandsOf(node);
    const told = this.#told.get(node.name) ?? new Map<string, RuleCommand>();
    this.#told.set(node.name, told);
    for (const [text, command] of told) {
      if (wanted.has(text)) continue;
      await this.#command(node, opposite(command));
      told.delete(text);
    }
    for (const [text, command] of wanted) {
      if (told.has(text)) continue;
      await this.#command(node, command);
      told.set(text, command);
    }
  }

  #commandsOf(node: NamedNode): Map<string, RuleCommand> {
    const commands = new Map<string, RuleCommand>();
    for (const { source } of this.#options.book().meanings()) {
      if (source.kind === "rest" || !choosesNode(source.nodes, node)) continue;
      const command: RuleCommand =
        source.kind === "eventbus"
          ? { operation: "subscribe", topic: source.filter }
          : { operation: "start", targetUrl: source.targetUrl };
      commands.set(JSON.stringify(command), command);
    }
    return commands;
  }

  async #command({ name }: NamedNode, command: RuleCommand): Promise<void> {
    await this.#options.port.ask("rule.command", { node: name, command, timeoutMs: commandMs });
  }
}

function opposite(command: RuleCommand): RuleCommand {
  if ("targetUrl" in command) return { operation: "stop", targetUrl: command.targetUrl };
  return { operation: "unsubscribe", topic: command.topic };
}

function forNode(object: KubeObject): KubeObject {
  const { status: _status, ...rest } = object;
  return rest;
}

function goneOf({ kind, namespace, name, uid, resourceVersion }: DeliveredObject): KubeObject {
  return { apiVersion, kind, metadata: { namespace, name, uid, resourceVersion } };
}
