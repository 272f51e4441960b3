import type { Informer } from "#cloud/kube-client";
import { edgeNodeLabel, type Node } from "#shared/kube";
import type { NamedNode } from "#shared/rules";

/** The edge nodes, and which of them are connected. */
export class NodeDirectory {
  readonly #nodes: Informer<Node>;
  /** with whether they have byte streams: our edgecore */
  readonly #connected = new Map<string, boolean>();

  constructor(nodes: Informer<Node>) {
    this.#nodes = nodes;
  }

  get(name: string): NamedNode | undefined {
    return asEdgeNode(this.#nodes.get(name));
  }

  *list(): Iterable<NamedNode> {
    for (const node of this.#nodes.list()) {
      const found = asEdgeNode(node);
      if (found) yield found;
    }
  }

  connected(name: string, streams: boolean): void {
    this.#connected.set(name, streams);
  }

  disconnected(name: string): void {
    this.#connected.delete(name);
  }

  isConnected(name: string): boolean {
    return this.#connected.has(name);
  }

  /** Whether it is connected with our edgecore. */
  isOurs(name: string): boolean {
    return this.#connected.get(name) === true;
  }

  connectedNodes(): string[] {
    return [...this.#connected.keys()];
  }
}

function asEdgeNode(node: Node | undefined): NamedNode | undefined {
  const { name, labels = {} } = node?.metadata ?? {};
  return name === undefined || labels[edgeNodeLabel] === undefined ? undefined : { name, labels };
}
