import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import { markDisrupted } from "#cloud/controllers/disruption";
import { isDeleting, recordEvent, type ControllerDeps } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";
import type { ClusterView, RejectedNode } from "./choose.ts";
import type { PodNeeds } from "#cloud/controllers/scheduler/load";
import { planPreemption, type Preemption } from "./preemption.ts";

/** The name of the scheduler in pods and Events. */
export const component = "default-scheduler";

type PreemptorDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "podDisruptionBudgets">;

/** Makes room for a pod by deleting pods of lower priority. */
export class Preemptor {
  readonly #deps: PreemptorDeps;

  constructor(deps: PreemptorDeps) {
    this.#deps = deps;
  }

  plan(needs: PodNeeds, rejected: readonly RejectedNode[], cluster: ClusterView): Preemption {
    if (rejected.length === 0) return { message: "", isHopeless: true };
    if (needs.pod.spec.preemptionPolicy === "Never")
      return { message: "preemption: not eligible due to preemptionPolicy=Never.", isHopeless: false };
    if (isMakingRoom(needs, rejected))
      return {
        message: "preemption: not eligible due to a terminating pod on the nominated node.",
        isHopeless: false,
      };
    const budgets = this.#deps.podDisruptionBudgets.list();
    return planPreemption(needs, rejected, { cluster, budgets });
  }

  /** Nominates the pod for the node, so that its room is kept, then deletes the victims. */
  async remove(needs: PodNeeds, { node, victims }: Exclude<Preemption, { message: string }>): Promise<void> {
    const { kube } = this.#deps;
    const patch = { metadata: { uid: needs.pod.metadata.uid }, status: { nominatedNodeName: node } };
    const options = { type: "merge", subresource: "status" } as const;
    const nominated = await ignoreMissing(kube.patch(resources.pods, objectAt(needs.pod), patch, options));
    if (!nominated) return;
    await Promise.all(victims.map(({ pod }) => this.#evict(pod, needs, node)));
  }

  async #evict(victim: Pod, needs: PodNeeds, node: string): Promise<void> {
    if (isDeleting(victim)) return;
    const { uid = "" } = victim.metadata;
    const why = `${component}: preempting to accommodate a higher priority pod`;
    await markDisrupted(this.#deps, victim, { reason: "PreemptionByScheduler", message: why });
    await ignoreMissing(this.#deps.kube.remove(resources.pods, objectAt(victim), { uid }), 409);
    const message = `Preempted by pod ${needs.pod.metadata.uid ?? ""} on node ${node}`;
    const text = { type: "Normal", reason: "Preempted", message, component } as const;
    await recordEvent(this.#deps, resources.pods, victim, text);
  }
}

/** Pods of lower priority are still ending on the node that the pod was nominated for. */
function isMakingRoom({ pod, priority }: PodNeeds, rejected: readonly RejectedNode[]): boolean {
  const { nominatedNodeName } = pod.status ?? {};
  const place = rejected.find(({ load }) => load.node.metadata.name === nominatedNodeName);
  if (!nominatedNodeName || !place || place.obstacle.isFinal) return false;
  return [...place.load.pods.values()].some((other) => other.priority < priority && isDeleting(other.pod));
}
