import type { PodName } from "#shared/topics";
import type { PodEvent } from "#edge/edged/events";

/** An Event of the node: the pod it is about does not exist. */
export function removedEvent({ namespace, name, uid }: PodName, containers: number, why: string): PodEvent {
  const message = `Removed ${containers} containers of pod ${namespace}/${name} (${uid}): ${why}`;
  return { type: "Warning", reason: "RemovedUnknownPod", message };
}
