import { ignoreMissing, resources, type Informer } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
import type { Lease, Node, Pod } from "#shared/kube";
import type { ControllerDeps } from "#cloud/controllers/framework";
import { recordEvent } from "#cloud/controllers/framework";
import {
  claimsReady,
  heartbeatOf,
  lifecycleView,
  readyStatus,
  taintsWanted,
  unknownConditions,
} from "./conditions.ts";
import { WorkQueue } from "#cloud/controllers/framework";

const leaseNamespace = "kube-node-lease";
/** A node silent for this long is out of reach: shown within 40 s of the cut. */
const graceMs = 35_000;
const sweepMs = 1_000;
/** A sweep later than this means that this process stood still, not the nodes. */
const stallMs = 10_000;

type LifecycleDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods" | "nodes">;

/** Follows the nodes' leases and conditions: marks silent nodes Unknown, keeps taints and pod readiness in step. */
export function startNodeLifecycleController(deps: LifecycleDeps): AsyncDisposable {
  return new NodeLifecycle(deps);
}

interface Signs {
  renewTime: string;
  heartbeat: string;
  /** On our clock: edge clocks are not to be trusted. */
  changedAtMs: number;
}

class NodeLifecycle implements AsyncDisposable {
  readonly #deps: LifecycleDeps;
  readonly #leases: Informer<Lease>;
  readonly #signs = new Map<string, Signs>();
  readonly #queue: WorkQueue;
  readonly #watches: Disposable[];
  #sweptAtMs: number;

  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({
      ...deps,
      name: "node-lifecycle",
      reconcile: (name) => this.#reconcile(name),
    });
    this.#leases = deps.kube.informer<Lease>(resources.leases, { namespace: leaseNamespace });
    this.#sweptAtMs = deps.clock.monotonicMs();
    this.#watches = [
      deps.nodes.watch({
        added: (node) => this.#nodeShown(node),
        updated: (node, old) => this.#nodeShown(node, old),
        removed: (node) => void this.#signs.delete(node.metadata.name ?? ""),
      }),
      deps.pods.watch({ updated: (pod, old) => this.#podShown(pod, old) }),
      this.#leases.watch({
        added: (lease) => this.#leaseShown(lease),
        updated: (lease) => this.#leaseShown(lease),
      }),
      deps.clock.every(sweepMs, () => this.#sweep()),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#leases[Symbol.asyncDispose]();
  }

  #nodeShown(node: Node, old?: Node): void {
    const name = node.metadata.name ?? "";
    const signs = this.#signsOf(name);
    const heartbeat = heartbeatOf(node);
    const isBack = old !== undefined && readyStatus(old) === "Unknown" && readyStatus(node) !== "Unknown";
    if (isBack || heartbeat !== signs.heartbeat) {
      signs.heartbeat = heartbeat;
      signs.changedAtMs = this.#deps.clock.monotonicMs();
    }
    if (!old || !Bun.deepEquals(lifecycleView(node), lifecycleView(old))) this.#queue.add(name);
  }

  #leaseShown(lease: Lease): void {
    const name = lease.metadata.name ?? "";
    if (this.#deps.nodes.get(name)) this.#renewed(name, lease);
  }

  #podShown(pod: Pod, old: Pod): void {
    const { nodeName } = pod.spec;
    if (!nodeName || !claimsReady(pod) || claimsReady(old)) return;
    const node = this.#deps.nodes.get(nodeName);
    if (node && readyStatus(node) === "Unknown") this.#queue.add(nodeName);
  }

  #renewed(name: string, lease: Lease | undefined): void {
    const signs = this.#signsOf(name);
    const renewTime = lease?.spec?.renewTime ?? "";
    if (renewTime === signs.renewTime) return;
    signs.renewTime = renewTime;
    signs.changedAtMs = this.#deps.clock.monotonicMs();
  }

  #signsOf(name: string): Signs {
    const known = this.#signs.get(name);
    if (known) return known;
    const renewTime = this.#leases.get(`${leaseNamespace}/${name}`)?.spec?.renewTime ?? "";
    const signs = { renewTime, heartbeat: "", changedAtMs: this.#deps.clock.monotonicMs() };
    this.#signs.set(name, signs);
    return signs;
  }

  #sweep(): void {
    const now = this.#deps.clock.monotonicMs();
    const gap = now - this.#sweptAtMs;
    this.#sweptAtMs = now;
    if (gap > stallMs) for (const signs of this.#signs.values()) signs.changedAtMs += gap;
    for (const [name, signs] of this.#signs) {
      if (now - signs.changedAtMs < graceMs) continue;
      const node = this.#deps.nodes.get(name);
      if (node && readyStatus(node) !== "Unknown") this.#queue.add(name);
    }
  }

  async #reconcile(name: string): Promise<void> {
    const node = this.#deps.nodes.get(name);
    if (!node) return;
    if (this.#isSilent(name) && readyStatus(node) !== "Unknown") await this.#confirmAndMark(node);
    else await this.#followConditions(node);
  }

  #isSilent(name: string): boolean {
    return this.#deps.clock.monotonicMs() - this.#signsOf(name).changedAtMs >= graceMs;
  }

  /** Asks the API once more first: our copy may be what stands still. */
  async #confirmAndMark(node: Node): Promise<void> {
    const { kube, clock } = this.#deps;
    const name = node.metadata.name ?? "";
    const lease = await kube.find<Lease>(resources.leases, { name, namespace: leaseNamespace });
    this.#renewed(name, lease);
    if (!this.#isSilent(name)) return;
    const conditions = unknownConditions(node, rfc3339(clock.nowMs()));
    const options = { type: "strategic", subresource: "status" } as const;
    const marked = await ignoreMissing(
      kube.patch<Node>(resources.nodes, { name }, { status: { conditions } }, options),
    );
    if (!marked) return;
    this.#deps.log.warn("node is silent", { node: name });
    await this.#followConditions(marked);
    const message = `Node ${name} status is now: NodeNotReady`;
    await recordEvent(this.#deps, resources.nodes, node, {
      type: "Normal",
      reason: "NodeNotReady",
      message,
      component: "node-controller",
    });
  }

  async #followConditions(node: Node): Promise<void> {
    await this.#taint(node);
    const ready = readyStatus(node);
    if (ready === "Unknown" || ready === "False") await this.#markPodsNotReady(node.metadata.name ?? "");
  }

  async #taint(node: Node): Promise<void> {
    const { kube, clock } = this.#deps;
    const taints = taintsWanted(node, rfc3339(clock.nowMs()));
    if (!taints) return;
    const { name = "", resourceVersion } = node.metadata;
    const patch = {
      metadata: resourceVersion === undefined ? {} : { resourceVersion },
      spec: { taints: taints.length > 0 ? taints : null },
    };
    await ignoreMissing(kube.patch(resources.nodes, { name }, patch, { type: "merge" }));
  }

  async #markPodsNotReady(node: string): Promise<void> {
    const { kube, clock, pods } = this.#deps;
    const now = rfc3339(clock.nowMs());
    const patch = { status: { conditions: [{ type: "Ready", status: "False", lastTransitionTime: now }] } };
    const options = { type: "strategic", subresource: "status" } as const;
    for (const pod of pods.list()) {
      if (pod.spec.nodeName !== node || !claimsReady(pod)) continue;
      const { name = "", namespace = "default" } = pod.metadata;
      // oxlint-disable-next-line no-await-in-loop -- a node's pods are few, and the API is not to be flooded
      await ignoreMissing(kube.patch(resources.pods, { name, namespace }, patch, options));
    }
  }
}
