import { resources } from "#cloud/kube-client";
import {
  isDeleting,
  OwnWrites,
  WorkQueue,
  type ControllerDeps,
  type Job,
  type JobStatus,
  type StartController,
} from "#cloud/controllers/framework";
import { OwnedPods } from "#cloud/controllers/workloads/pods";
import {
  deadlineInMs,
  finishedBy,
  isTracked,
  lookAt,
  planPods,
  settle,
  trackingFinalizer,
  type ConditionUpdate,
  type JobWorld,
  type Verdict,
} from "#cloud/controllers/workloads/job/rules";
import { asError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import { deleteExpired, expiresInMs } from "./expiry.ts";
import { newPod } from "./new-pod.ts";
import { OrphanPods } from "./orphans.ts";
import { PodReleases } from "./pod-releases.ts";
import { finishStatus, followSuspension, jobStatus } from "./status.ts";

/** The clock of this machine may be set while a deadline is waited for. */
const longestWaitMs = 600_000;
const ownName = "kubernetes.io/job-controller";

/** Runs the pods of each Job until enough have succeeded, as kube-controller-manager's pkg/controller/job. */
export const startJobController: StartController = (deps) => {
  const controller = new JobController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

/** How the pods of a Job were brought closer to what it needs. */
interface Managed {
  readonly active: number;
  readonly failure?: Error;
}

class JobController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #pods: OwnedPods<Job>;
  readonly #releases: PodReleases;
  readonly #orphans: OrphanPods;
  readonly #written = new OwnWrites<Job>();
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log, jobs: owners } = deps;
    this.#deps = deps;
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "jobs", clock, log, reconcile });
    this.#releases = new PodReleases(deps);
    this.#pods = new OwnedPods(deps, {
      type: resources.jobs,
      owners,
      component: "job-controller",
      finalizer: trackingFinalizer,
      changed: (key) => this.#queue.add(key),
    });
    this.#orphans = new OrphanPods(deps);
    this.#watch = owners.watch({
      updated: (job) => {
        if (finishedBy(job)) this.#checkOrphans(job);
      },
      removed: (job) => this.#removed(job),
    });
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#pods.close();
    await this.#queue[Symbol.asyncDispose]();
    await this.#orphans[Symbol.asyncDispose]();
    await this.#pods[Symbol.asyncDispose]();
  }

  #removed(job: Job): void {
    this.#written.forget(job);
    this.#releases.forget(job.metadata.uid ?? "");
    this.#checkOrphans(job);
  }

  #checkOrphans({ metadata }: Job): void {
    for (const pod of this.#pods.ownedBy(metadata.uid ?? "")) this.#orphans.check(pod);
  }

  async #reconcile(key: string): Promise<void> {
    const copy = this.#deps.jobs.get(key);
    if (!copy) return;
    const job = this.#written.newest(copy);
    if ((job.spec.managedBy ?? ownName) !== ownName) return;
    if (finishedBy(job)) return this.#expire(key, job);
    const wait = this.#waitMs(job);
    if (wait > 0) this.#queue.addAfter(key, wait);
    else await this.#advance(job);
  }

  /** Until the local copy shows what was done, nothing is counted or created. */
  #waitMs(job: Job): number {
    const { uid = "" } = job.metadata;
    return Math.max(this.#pods.waitMs(job), this.#releases.waitMs(uid, this.#pods.ownedBy(uid)));
  }

  async #advance(job: Job): Promise<void> {
    const nowMs = this.#deps.clock.nowMs();
    const pods = await this.#pods.claim(job, () => true);
    const { world, verdict } = lookAt(job, pods, nowMs);
    const isManaged = !verdict && !isDeleting(job);
    const managed: Managed = isManaged ? await this.#manage(world) : { active: world.pods.active.length };
    const status = jobStatus(world, verdict, managed.active);
    const suspension = isManaged && !managed.failure ? followSuspension(status, job, nowMs) : undefined;
    const recorded = await this.#writeStatus(job, status);
    if (suspension) this.#recordSuspension(job, suspension);
    await this.#settle({ ...world, job: recorded }, verdict);
    if (managed.failure) throw managed.failure;
    this.#waitForDeadline(recorded, nowMs);
  }

  async #manage(world: JobWorld): Promise<Managed> {
    const { job, pods } = world;
    const { create, remove, waitMs } = planPods(world);
    if (waitMs !== undefined) this.#queue.addAfter(objectKey(job), Math.min(waitMs, longestWaitMs));
    try {
      await this.#discard(job, remove);
      await this.#pods.createAll(
        job,
        create.map((pod) => newPod(job, pod)),
      );
      return { active: pods.active.length + create.length - remove.length };
    } catch (error) {
      return { active: pods.active.length, failure: asError(error) };
    }
  }

  /** Without the finalizer first: that surplus pods end is no failure. */
  async #discard(job: Job, pods: readonly Pod[]): Promise<void> {
    const { released, failure } = await this.#releases.release(
      job.metadata.uid ?? "",
      pods.filter(isTracked),
    );
    if (failure !== undefined) throw asError(failure);
    await this.#pods.removeAll(job, [...released, ...pods.filter((pod) => !isTracked(pod))]);
  }

  /** What is in the status may lose its finalizer, and then counts; a Job that is to end ends when nothing is left. */
  async #settle(world: JobWorld, verdict: Verdict | undefined): Promise<void> {
    const { job, pods, tally, nowMs } = world;
    const { released, failure } = await this.#releases.release(job.metadata.uid ?? "", tally.done);
    if (verdict && !isDeleting(job)) await this.#pods.removeAll(job, pods.active);
    const left = uidsOf(pods.tracked).difference(uidsOf(released));
    const status = settle(structuredClone(job.status ?? {}), left);
    const finish = verdict && left.size === 0 ? finishStatus(status, verdict, nowMs) : undefined;
    await this.#writeStatus(job, finish?.status ?? status);
    if (finish) this.#recordFinish(job, finish.condition);
    if (failure !== undefined) throw asError(failure);
  }

  /** Conditional on the version: a status that was counted from an older one must not replace it. */
  async #writeStatus(job: Job, status: JobStatus): Promise<Job> {
    if (Bun.deepEquals(status, job.status ?? {})) return job;
    const written = await this.#deps.kube.replace<Job>(
      resources.jobs,
      { ...job, status },
      { subresource: "status" },
    );
    this.#written.wrote(written);
    return written;
  }

  #recordSuspension(job: Job, { status, message }: ConditionUpdate): void {
    this.#pods.record(job, status === "True" ? "Suspended" : "Resumed", message);
  }

  #recordFinish(job: Job, { type, reason, message }: ConditionUpdate): void {
    const text =
      type === "Complete"
        ? ({ type: "Normal", reason: "Completed", message: "Job completed" } as const)
        : ({ type: "Warning", reason, message } as const);
    this.#pods.events.record(resources.jobs, job, text);
  }

  #waitForDeadline(job: Job, nowMs: number): void {
    const left = deadlineInMs(job, nowMs);
    if (left !== undefined) this.#queue.addAfter(objectKey(job), Math.min(Math.max(left, 0), longestWaitMs));
  }

  async #expire(key: string, job: Job): Promise<void> {
    const left = expiresInMs(job, this.#deps.clock.nowMs());
    if (left === undefined) return;
    if (left > 0) this.#queue.addAfter(key, Math.min(left, longestWaitMs));
    else await deleteExpired(this.#deps, job);
  }
}

function uidsOf(pods: readonly Pod[]): Set<string> {
  return new Set(pods.map(({ metadata }) => metadata.uid ?? ""));
}
