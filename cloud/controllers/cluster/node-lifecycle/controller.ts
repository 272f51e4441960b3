import { ignoreMissing, resources, type Informer } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
import type { Lease, Node, Pod } from "#shared/kube";
import { recordEvent, WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { isPodReady } from "#cloud/controllers/workloads/pods";
import { heartbeatOf, lifecycleView, readyStatus, taintsWanted, unknownConditions } from "./conditions.ts";

const leaseNamespace = "kube-node-lease";
/**
 * A node without lease renewal or heartbeat for this long is unreachable. With renewals every 10 s and a sweep a second it
 * is reported within 40 s, kube-controller-manager's default node-monitor-grace-period.
 */
const graceMs = 35_000;
const sweepMs = 1_000;
/** A sweep later than this means that this process was suspended, and leases could not be read: nodes get that time. */
const stallMs = 10_000;

type LifecycleDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods" | "nodes">;

/**
 * Follows leases and conditions of nodes: sets the conditions of silent nodes to Unknown, taints nodes by their conditions,
 * and marks the pods of nodes that are not ready as not ready. As kube-controller-manager's pkg/controller/nodelifecycle.
 */
export function startNodeLifecycleController(deps: LifecycleDeps): AsyncDisposable {
  return new NodeLifecycle(deps);
}

/** The last renewal and heartbeat seen of a node. */
interface NodeHealth {
  renewTime: string;
  heartbeat: string;
  /** On the clock of this process: clocks of edge nodes may be wrong. */
  changedAtMs: number;
}

class NodeLifecycle implements AsyncDisposable {
  readonly #deps: LifecycleDeps;
  readonly #leases: Informer<Lease>;
  readonly #health = new Map<string, NodeHealth>();
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
        added: (node) => this.#nodeChanged(node),
        updated: (node, old) => this.#nodeChanged(node, old),
        removed: (node) => void this.#health.delete(node.metadata.name ?? ""),
      }),
      deps.pods.watch({ updated: (pod, old) => this.#podChanged(pod, old) }),
      this.#leases.watch({
        added: (lease) => this.#leaseChanged(lease),
        updated: (lease) => this.#leaseChanged(lease),
      }),
      deps.clock.every(sweepMs, () => this.#sweep()),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#leases[Symbol.asyncDispose]();
  }

  #nodeChanged(node: Node, old?: Node): void {
    const name = node.metadata.name ?? "";
    const health = this.#healthOf(name);
    const heartbeat = heartbeatOf(node);
    const isBack = old !== undefined && readyStatus(old) === "Unknown" && readyStatus(node) !== "Unknown";
    if (isBack || heartbeat !== health.heartbeat) {
      health.heartbeat = heartbeat;
      health.changedAtMs = this.#deps.clock.monotonicMs();
    }
    if (!old || !Bun.deepEquals(lifecycleView(node), lifecycleView(old))) this.#queue.add(name);
  }

  #leaseChanged(lease: Lease): void {
    const name = lease.metadata.name ?? "";
    if (this.#deps.nodes.get(name)) this.#renewed(name, lease);
  }

  #podChanged(pod: Pod, old: Pod): void {
    const { nodeName } = pod.spec;
    if (!nodeName || !isPodReady(pod) || isPodReady(old)) return;
    const node = this.#deps.nodes.get(nodeName);
    if (node && readyStatus(node) === "Unknown") this.#queue.add(nodeName);
  }

  #renewed(name: string, lease: Lease | undefined): void {
    const health = this.#healthOf(name);
    const renewTime = lease?.spec?.renewTime ?? "";
    if (renewTime === health.renewTime) return;
    health.renewTime = renewTime;
    health.changedAtMs = this.#deps.clock.monotonicMs();
  }

  #healthOf(name: string): NodeHealth {
    const known = this.#health.get(name);
    if (known) return known;
    const renewTime = this.#leases.get(`${leaseNamespace}/${name}`)?.spec?.renewTime ?? "";
    const health = { renewTime, heartbeat: "", changedAtMs: this.#deps.clock.monotonicMs() };
    this.#health.set(name, health);
    return health;
  }

  #sweep(): void {
    const now = this.#deps.clock.monotonicMs();
    const gap = now - this.#sweptAtMs;
    this.#sweptAtMs = now;
    if (gap > stallMs) for (const health of this.#health.values()) health.changedAtMs += gap;
    for (const [name, health] of this.#health) {
      if (now - health.changedAtMs < graceMs) continue;
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
    return this.#deps.clock.monotonicMs() - this.#healthOf(name).changedAtMs >= graceMs;
  }

  /** Reads the lease from the API first: the local copy may be what is stale. */
  async #confirmAndMark(node: Node): Promise<void> {
    const { kube, clock } = this.#deps;
    const name = node.metadata.name ?? "";
    const lease = await kube.find<Lease>(resources.leases, { name, namespace: leaseNamespace });
    this.#renewed(name, lease);
    if (!this.#isSilent(name)) return;
    const conditions = unknownConditions(node, rfc3339(clock.nowMs()));
    const options = { type: "strategic", subresource: "status" } as const;
    const updated = await ignoreMissing(
      kube.patch<Node>(resources.nodes, { name }, { status: { conditions } }, options),
    );
    if (!updated) return;
    this.#deps.log.warn("node is unreachable", { node: name });
    await this.#followConditions(updated);
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
      if (pod.spec.nodeName !== node || !isPodReady(pod)) continue;
      const { name = "", namespace = "default" } = pod.metadata;
      // One at a time: a node has few pods.
      await ignoreMissing(kube.patch(resources.pods, { name, namespace }, patch, options));
    }
  }
}
