import type { Pod } from "#shared/kube";
import { mayChoose, type RuleMeaning } from "#shared/rules";

export interface AllowedPortsOptions {
  readonly node: string;
  readonly allowed: readonly number[];
  readonly refused: readonly number[];
  /** Where edgecore itself, or what it runs on, listens. */
  readonly own: () => Iterable<number>;
}

/**
 * Which ports of 127.0.0.1 the cloud may call: those that somebody named for this node, and never those of edgecore. The
 * answer for any other port does not depend on whether something listens there.
 */
export class AllowedPorts {
  readonly #options: AllowedPortsOptions;
  #ofRules: ReadonlySet<number> = new Set();
  /** by uid of the pod */
  readonly #ofPods = new Map<string, readonly number[]>();

  constructor(options: AllowedPortsOptions) {
    this.#options = options;
  }

  setRules(rules: readonly RuleMeaning[]): void {
    const { node } = this.#options;
    const targets = rules.flatMap(({ target }) => {
      if (target.kind !== "servicebus") return [];
      return target.nodes === undefined || mayChoose(target.nodes, node) ? [target.port] : [];
    });
    this.#ofRules = new Set(targets);
  }

  /** @param key of the pod; @param pod undefined: it is gone */
  setPod(key: string, pod: Pod | undefined): void {
    const ports = pod ? hostPortsOf(pod) : [];
    if (ports.length === 0) this.#ofPods.delete(key);
    else this.#ofPods.set(key, ports);
  }

  allows(port: number): boolean {
    const { allowed, refused, own } = this.#options;
    if (refused.includes(port) || new Set(own()).has(port)) return false;
    if (this.#ofRules.has(port) || allowed.includes(port)) return true;
    return [...this.#ofPods.values()].some((ports) => ports.includes(port));
  }
}

/** Host addresses that a server of a pod can be reached at on 127.0.0.1. */
const loopback: readonly (string | undefined)[] = [undefined, "", "0.0.0.0", "127.0.0.1", "::"];

function hostPortsOf({ spec, status }: Pod): number[] {
  if (status?.phase === "Succeeded" || status?.phase === "Failed") return [];
  return spec.containers
    .flatMap(({ ports = [] }) => ports)
    .flatMap(({ hostPort, hostIP, protocol = "TCP" }) =>
      hostPort !== undefined && protocol === "TCP" && loopback.includes(hostIP) ? [hostPort] : [],
    );
}
