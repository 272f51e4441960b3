import { controllerOf, WorkQueue, type ControllerDeps } from "#cloud/controllers/framework";
import { finishedBy, isTracked } from "#cloud/controllers/workloads/job/rules";
import { objectKey, type Pod } from "#shared/kube";
import { releasePod } from "./pod-releases.ts";

type OrphanDeps = Pick<ControllerDeps, "kube" | "clock" | "log" | "pods" | "jobs">;

/** Removes the finalizer of pods that no Job counts: their Job is gone or finished, or they have none. */
export class OrphanPods implements AsyncDisposable {
  readonly #deps: OrphanDeps;
  readonly #queue: WorkQueue;
  readonly #watch: Disposable;

  constructor(deps: OrphanDeps) {
    this.#deps = deps;
    this.#queue = new WorkQueue({ ...deps, name: "orphans of jobs", reconcile: (key) => this.#free(key) });
    this.#watch = deps.pods.watch({ added: (pod) => this.check(pod), updated: (pod) => this.check(pod) });
  }

  check(pod: Pod): void {
    if (isTracked(pod) && this.#isOrphan(pod)) this.#queue.add(objectKey(pod));
  }

  #isOrphan(pod: Pod): boolean {
    const owner = controllerOf(pod);
    if (owner?.kind !== "Job") return true;
    const job = this.#deps.jobs.get(`${pod.metadata.namespace ?? ""}/${owner.name}`);
    return job?.metadata.uid !== owner.uid || !job || finishedBy(job) !== undefined;
  }

  async #free(key: string): Promise<void> {
    const pod = this.#deps.pods.get(key);
    // Of this version: a Job that adopts it meanwhile counts it by its finalizer.
    if (pod && isTracked(pod) && this.#isOrphan(pod))
      await releasePod(this.#deps, pod, pod.metadata.resourceVersion);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
  }
}
