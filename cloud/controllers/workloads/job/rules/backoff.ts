import type { Pod } from "#shared/kube";

/** The wait after the first failure, doubled by each further one up to six minutes, as the documentation of Jobs has it. */
const firstMs = 10_000;
const longestMs = 360_000;
/** Doublings after which the limit is reached: keeps the power small. */
const maxDoublings = 6;

/**
 * Milliseconds until the next pod may be created: failures since the last success count. It follows from the pods alone, so
 * that a restart forgets nothing; as backoff_utils.go.
 */
export function backoffMs(succeeded: readonly Pod[], failed: readonly Pod[], nowMs: number): number {
  const successMs = latest(succeeded, nowMs);
  const times = failed.map((pod) => finishedMs(pod, nowMs)).filter((ms) => ms > successMs);
  if (times.length === 0) return 0;
  return Math.max(0, Math.max(...times) + delayMs(times.length) - nowMs);
}

/** The wait after this number of failures in a row. */
export function delayMs(failures: number): number {
  if (failures <= 0) return 0;
  return Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, maxDoublings));
}

function latest(pods: readonly Pod[], nowMs: number): number {
  return pods.reduce((found, pod) => Math.max(found, finishedMs(pod, nowMs)), 0);
}

/**
 * When a pod has ended. Containers' times are of the node's clock, which may be wrong: no pod ends before the cloud created
 * it, nor in the future.
 */
export function finishedMs({ metadata, status }: Pod, nowMs: number): number {
  const containers = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  const ends = containers.map(({ state }) => timeOf(state?.terminated?.finishedAt));
  const reported = Math.max(timeOf(metadata.deletionTimestamp), ...ends);
  return Math.min(nowMs, Math.max(timeOf(metadata.creationTimestamp), reported));
}

function timeOf(text: string | null | undefined): number {
  return Date.parse(text ?? "") || 0;
}
