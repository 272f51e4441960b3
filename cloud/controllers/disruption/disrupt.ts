import type { ControllerDeps } from "#cloud/controllers/framework";
import { ignoreMissing, objectAt, resources } from "#cloud/kube-client";
import { rfc3339 } from "#shared/clock";
import type { Pod } from "#shared/kube";

export interface Disruption {
  /** Of the condition `DisruptionTarget`. */
  readonly reason: string;
  readonly message: string;
  /** "Failed" where nobody else will say that the pod has ended. */
  readonly phase?: "Failed";
}

/** Says in the status of a pod why it will be deleted. Nothing happens when another pod has its name by now. */
export async function markDisrupted(
  { kube, clock }: Pick<ControllerDeps, "kube" | "clock">,
  pod: Pod,
  { reason, message, phase }: Disruption,
): Promise<void> {
  const lastTransitionTime = rfc3339(clock.nowMs());
  const condition = { type: "DisruptionTarget", status: "True", reason, message, lastTransitionTime };
  const { uid = "" } = pod.metadata;
  const patch = { metadata: { uid }, status: { ...(phase && { phase }), conditions: [condition] } };
  const options = { type: "strategic", subresource: "status" } as const;
  // 409 and 422: another pod has the name now.
  await ignoreMissing(kube.patch(resources.pods, objectAt(pod), patch, options), 409, 422);
}
