import { isKubeError, objectAt, resources } from "#cloud/kube-client";
import type { ControllerDeps } from "#cloud/controllers/framework";
import { isTracked, trackingFinalizer } from "#cloud/controllers/workloads/job/rules";
import { objectKey, type Pod } from "#shared/kube";

/** As for expectations: should the change never be shown, the Job is looked at again after this time. */
const expectationMs = 30_000;

type ReleaseDeps = Pick<ControllerDeps, "kube" | "clock" | "pods">;

/** Removes the finalizer of pods, and knows which of them the local copy still shows with it: they would be counted again. */
export class PodReleases {
  readonly #deps: ReleaseDeps;
  /** By uid of the Job, then of the pod; until when it is waited for. */
  readonly #expected = new Map<string, Map<string, number>>();

  constructor(deps: ReleaseDeps) {
    this.#deps = deps;
  }

  /** Returns the pods whose finalizer is gone, and why another one's is not. */
  async release(
    jobUid: string,
    pods: readonly Pod[],
  ): Promise<{ readonly released: readonly Pod[]; readonly failure: unknown }> {
    const results = await Promise.allSettled(pods.map((pod) => releasePod(this.#deps, pod)));
    const released = pods.filter((_, index) => results[index]?.status === "fulfilled");
    for (const pod of released) this.#expect(jobUid, pod);
    return { released, failure: results.find((result) => result.status === "rejected")?.reason };
  }

  #expect(jobUid: string, pod: Pod): void {
    const copy = this.#deps.pods.get(objectKey(pod));
    if (copy?.metadata.uid !== pod.metadata.uid || !copy || !isTracked(copy)) return;
    const expected = this.#expected.get(jobUid) ?? new Map<string, number>();
    expected.set(pod.metadata.uid ?? "", this.#deps.clock.monotonicMs() + expectationMs);
    this.#expected.set(jobUid, expected);
  }

  /** Milliseconds to wait at most until the local copy shows what was released, 0 when it does. */
  waitMs(jobUid: string, pods: readonly Pod[]): number {
    const expected = this.#expected.get(jobUid);
    if (!expected) return 0;
    const now = this.#deps.clock.monotonicMs();
    const shown = new Set(pods.filter(isTracked).map(({ metadata }) => metadata.uid));
    for (const [uid, untilMs] of expected) if (!shown.has(uid) || untilMs <= now) expected.delete(uid);
    if (expected.size === 0) this.#expected.delete(jobUid);
    return Math.max(0, ...[...expected.values()].map((untilMs) => untilMs - now));
  }

  forget(jobUid: string): void {
    this.#expected.delete(jobUid);
  }
}

/**
 * A pod that is gone, or replaced by one of the same name, has no finalizer either.
 * @param resourceVersion of the pod, where a later one may need its finalizer: it is refused (409) then
 */
export async function releasePod(
  { kube }: Pick<ReleaseDeps, "kube">,
  pod: Pod,
  resourceVersion?: string,
): Promise<void> {
  const finalizers = { "$deleteFromPrimitiveList/finalizers": [trackingFinalizer] };
  const version = resourceVersion === undefined ? {} : { resourceVersion };
  const patch = { metadata: { uid: pod.metadata.uid, ...version, ...finalizers } };
  try {
    await kube.patch(resources.pods, objectAt(pod), patch, { type: "strategic" });
  } catch (error) {
    if (!isKubeError(error, 404, 409, 422)) throw error;
    const found = await kube.find(resources.pods, objectAt(pod));
    if (found?.metadata.uid === pod.metadata.uid) throw error;
  }
}
