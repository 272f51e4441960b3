import { rfc3339Micro, type Clock } from "#shared/clock";
import type { Lease, Status } from "#shared/kube";
import type { ApiAnswer, LeaseRequest } from "#shared/topics";

export interface NodeLeaseOptions {
  readonly clock: Clock;
  readonly nodeName: string;
  readonly intervalMs: number;
  readonly request: (operation: LeaseRequest["operation"]) => Promise<ApiAnswer<Lease>>;
}

const leaseNamespace = "kube-node-lease";
/** kubelet: nodeLeaseDurationSeconds; node-lifecycle of the cloud waits as long before the Node is Unknown. */
const leaseSeconds = 40;

/** The lease that shows that a node is alive, as kubelet's lease controller renews it. */
export class NodeLease {
  readonly #options: NodeLeaseOptions;
  #lease: Lease | undefined;
  #renewedAtMs = -Infinity;

  constructor(options: NodeLeaseOptions) {
    this.#options = options;
  }

  /** Whether it is time: a little early, so that a pass of every interval renews. */
  get isDue(): boolean {
    const { clock, intervalMs } = this.#options;
    return clock.monotonicMs() - this.#renewedAtMs >= intervalMs * 0.9;
  }

  /** The link is up again: the next pass renews. */
  expire(): void {
    this.#renewedAtMs = -Infinity;
  }

  /** The cloud has lost it: the next renewal creates another. */
  forget(): void {
    this.#lease = undefined;
  }

  /** `nodeUid`: the Node that owns a new lease. @returns why the cloud refused */
  async renew(nodeUid: string | undefined): Promise<Status | undefined> {
    const { clock, request } = this.#options;
    this.#lease ??= (await request({ verb: "get" })).object;
    const known = this.#lease?.metadata;
    const verb = known?.resourceVersion === undefined ? "create" : "update";
    const lease = this.#next(verb === "update" && known ? known : this.#metadata(nodeUid));
    const { object, failure } = await request({ verb, lease });
    this.#lease = failure ? undefined : object;
    if (!failure) this.#renewedAtMs = clock.monotonicMs();
    return failure;
  }

  #next(metadata: Lease["metadata"]): Lease {
    const { clock, nodeName } = this.#options;
    const renewTime = rfc3339Micro(clock.nowMs());
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: leaseSeconds, renewTime };
    return { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec };
  }

  #metadata(nodeUid: string | undefined): Lease["metadata"] {
    const { nodeName: name } = this.#options;
    const base = { name, namespace: leaseNamespace };
    if (nodeUid === undefined) return base;
    return { ...base, ownerReferences: [{ apiVersion: "v1", kind: "Node", name, uid: nodeUid }] };
  }
}
