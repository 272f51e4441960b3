import { isDeleting } from "#cloud/controllers/framework";
import type { Pod } from "#shared/kube";

export function isFinished({ status }: Pod): boolean {
  return status?.phase === "Succeeded" || status?.phase === "Failed";
}

/** Pods that count as replicas: neither finished nor being deleted. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isDeleting(pod);
}

/** When the pod became ready, undefined while it is not. */
export function readySinceMs(pod: Pod): number | undefined {
  const condition = pod.status?.conditions?.find(({ type }) => type === "Ready");
  if (condition?.status !== "True") return undefined;
  return Date.parse(condition.lastTransitionTime ?? "") || 0;
}

export function isPodReady(pod: Pod): boolean {
  return readySinceMs(pod) !== undefined;
}

/** Milliseconds until the pod has been ready for minReadySeconds: 0 when it is available, undefined while it is not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  const since = readySinceMs(pod);
  if (since === undefined) return undefined;
  return minReadySeconds === 0 ? 0 : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}

/** The oldest first, those bound to a node before others; as podByCreationTimestampAndPhase of daemon_controller.go. */
export function byAge(pods: readonly Pod[]): Pod[] {
  const rank = ({ spec, metadata }: Pod): string =>
    `${spec.nodeName ? 0 : 1} ${metadata.creationTimestamp ?? ""} ${metadata.name ?? ""}`;
  return pods.toSorted((a, b) => (rank(a) < rank(b) ? -1 : 1));
}
