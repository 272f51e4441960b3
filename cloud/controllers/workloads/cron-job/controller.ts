import { isKubeError, objectAt, resources } from "#cloud/kube-client";
import {
  ControllerEvents,
  controllerOf,
  isDeleting,
  OwnedIndex,
  OwnWrites,
  WorkQueue,
  type ControllerDeps,
  type CronJob,
  type CronJobStatus,
  type Job,
  type StartController,
} from "#cloud/controllers/framework";
import { finishedBy } from "#cloud/controllers/workloads/job";
import { rfc3339 } from "#shared/clock";
import { parseSchedule, type Schedule } from "#shared/cron";
import { asError } from "#shared/errors";
import { objectKey } from "#shared/kube";
import { followActive } from "./active.ts";
import { dueOf, jobNameAt } from "./due.ts";
import { jobAt, referenceTo, surplusJobs } from "./job-template.ts";

/** The clock of this machine may be set while the next time is waited for. */
const longestWaitMs = 60_000;
/** Characters of a schedule in an Event, whose message has 1,024. */
const mostShown = 512;
/** Added to each wait, so that the time has come even if a timer is early; as nextScheduleDelta. */
const marginMs = 100;

/** Starts a Job of each CronJob when it is due, as kube-controller-manager's pkg/controller/cronjob. */
export const startCronJobController: StartController = (deps) => {
  const controller = new CronJobController(deps);
  return { [Symbol.asyncDispose]: () => controller.stop() };
};

class CronJobController {
  readonly #deps: ControllerDeps;
  readonly #queue: WorkQueue;
  readonly #events: ControllerEvents;
  readonly #jobs: OwnedIndex<Job>;
  readonly #written = new OwnWrites<CronJob>();
  readonly #watch: Disposable;

  constructor(deps: ControllerDeps) {
    const { clock, log } = deps;
    this.#deps = deps;
    this.#events = new ControllerEvents(deps, "cronjob-controller");
    const reconcile = (key: string): Promise<void> => this.#reconcile(key);
    this.#queue = new WorkQueue({ name: "cronjobs", clock, log, reconcile });
    this.#jobs = new OwnedIndex(deps.jobs);
    this.#jobs.watch({ changed: (job) => this.#jobChanged(job) });
    this.#watch = deps.cronJobs.watch({
      added: (cronJob) => this.#queue.add(objectKey(cronJob)),
      updated: (cronJob) => this.#queue.add(objectKey(cronJob)),
      removed: (cronJob) => this.#written.forget(cronJob),
    });
  }

  async stop(): Promise<void> {
    this.#watch[Symbol.dispose]();
    this.#jobs[Symbol.dispose]();
    await this.#queue[Symbol.asyncDispose]();
    await this.#events[Symbol.asyncDispose]();
  }

  #jobChanged(job: Job): void {
    const owner = controllerOf(job);
    if (owner?.kind === "CronJob") this.#queue.add(`${job.metadata.namespace ?? ""}/${owner.name}`);
  }

  async #reconcile(key: string): Promise<void> {
    const copy = this.#deps.cronJobs.get(key);
    if (!copy) return;
    const cronJob = this.#written.newest(copy);
    const jobs = this.#jobs.ownedBy(cronJob.metadata.uid ?? "");
    const { status, notes } = await followActive(this.#deps.kube, cronJob, jobs);
    for (const note of notes) this.#record(cronJob, note.type, note);
    const isOn = !isDeleting(cronJob) && cronJob.spec.suspend !== true;
    const schedule = isOn ? this.#scheduleOf(cronJob) : undefined;
    const next = schedule ? await this.#startDue({ ...cronJob, status }, schedule, jobs) : status;
    await this.#writeStatus(cronJob, next);
    // Last: a Job that was started just before a crash must be found by its name.
    await this.#removeAll(cronJob, surplusJobs(cronJob, jobs));
    if (schedule) this.#waitForNext(key, schedule);
  }

  #scheduleOf(cronJob: CronJob): Schedule | undefined {
    const { schedule: text, timeZone } = cronJob.spec;
    const schedule = parseSchedule(text, timeZone);
    if (typeof schedule !== "string") return schedule;
    const message = `unparseable schedule: ${JSON.stringify(shortened(text))} : ${schedule}`;
    this.#record(cronJob, "Warning", { reason: "UnparseableSchedule", message });
    return undefined;
  }

  #waitForNext(key: string, schedule: Schedule): void {
    const nowMs = this.#deps.clock.nowMs();
    const nextMs = schedule.next(nowMs);
    if (nextMs !== undefined) this.#queue.addAfter(key, Math.min(longestWaitMs, nextMs - nowMs + marginMs));
  }

  /** Returns the status after what was due was started. */
  async #startDue(cronJob: CronJob, schedule: Schedule, jobs: readonly Job[]): Promise<CronJobStatus> {
    const { status = {} } = cronJob;
    const { atMs, isManyMissed, restartMs } = dueOf(cronJob, schedule, this.#deps.clock.nowMs());
    if (restartMs !== undefined) return this.#restart(cronJob, restartMs);
    if (atMs === undefined) return status;
    const started = jobs.find(({ metadata }) => metadata.name === jobNameAt(cronJob, atMs));
    if (started) return withJob(status, started, atMs);
    if (isManyMissed) this.#recordMissed(cronJob);
    const { concurrencyPolicy } = cronJob.spec;
    if (concurrencyPolicy === "Forbid" && status.active) {
      const message = "Not starting job because prior execution is running and concurrency policy is Forbid";
      this.#record(cronJob, "Normal", { reason: "JobAlreadyActive", message });
      return status;
    }
    return this.#start(
      cronJob,
      concurrencyPolicy === "Replace" ? await this.#replace(cronJob) : status,
      atMs,
    );
  }

  #restart(cronJob: CronJob, restartMs: number): CronJobStatus {
    const { status = {}, metadata } = cronJob;
    const last = status.lastScheduleTime ?? metadata.creationTimestamp ?? "";
    const message = `The last schedule time ${last} is in the future: the clock was set back. Jobs are started from now on`;
    this.#record(cronJob, "Warning", { reason: "ClockSetBack", message });
    return { ...status, lastScheduleTime: rfc3339(restartMs) };
  }

  #recordMissed(cronJob: CronJob): void {
    const message =
      "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    this.#record(cronJob, "Warning", { reason: "TooManyMissedTimes", message });
  }

  async #replace(cronJob: CronJob): Promise<CronJobStatus> {
    const { active = [], ...status } = cronJob.status ?? {};
    await this.#removeAll(
      cronJob,
      active.map(({ name = "", namespace = "", uid = "" }) => ({ metadata: { name, namespace, uid } })),
    );
    return status;
  }

  async #start(cronJob: CronJob, status: CronJobStatus, atMs: number): Promise<CronJobStatus> {
    const job = jobAt(cronJob, atMs);
    try {
      const created = await this.#deps.kube.create(resources.jobs, job);
      this.#record(cronJob, "Normal", {
        reason: "SuccessfulCreate",
        message: `Created job ${created.metadata.name ?? ""}`,
      });
      return withJob(status, created, atMs);
    } catch (error) {
      const existing =
        isKubeError(error, 409) && (await this.#deps.kube.find<Job>(resources.jobs, objectAt(job)));
      if (existing && controllerOf(existing)?.uid === cronJob.metadata.uid)
        return withJob(status, existing, atMs);
      const message = `Error creating job: ${asError(error).message}`;
      this.#record(cronJob, "Warning", { reason: "FailedCreate", message });
      if (!existing) throw error;
      // Somebody else has the name: the next time has another one.
      return { ...status, lastScheduleTime: rfc3339(atMs) };
    }
  }

  async #removeAll(cronJob: CronJob, jobs: readonly Pick<Job, "metadata">[]): Promise<void> {
    for (const { metadata } of jobs) {
      const { name = "", namespace = "", uid = "" } = metadata;
      try {
        await this.#deps.kube.remove(resources.jobs, { name, namespace }, { uid, propagation: "Background" });
      } catch (error) {
        if (isKubeError(error, 404, 409)) continue;
        throw error;
      }
      this.#record(cronJob, "Normal", { reason: "SuccessfulDelete", message: `Deleted job ${name}` });
    }
  }

  #record(
    cronJob: CronJob,
    type: "Normal" | "Warning",
    { reason, message }: { readonly reason: string; readonly message: string },
  ): void {
    this.#events.record(resources.cronJobs, cronJob, { type, reason, message });
  }

  /** Conditional on the version, as the status is counted from it. */
  async #writeStatus(cronJob: CronJob, status: CronJobStatus): Promise<void> {
    if (Bun.deepEquals(status, cronJob.status ?? {})) return;
    const written = await this.#deps.kube.replace<CronJob>(
      resources.cronJobs,
      { ...cronJob, status },
      { subresource: "status" },
    );
    this.#written.wrote(written);
  }
}

function shortened(text: string): string {
  return text.length > mostShown ? `${text.slice(0, mostShown)}…` : text;
}

/** The status after the Job of a time was started; it may have ended already. */
function withJob(status: CronJobStatus, job: Job, atMs: number): CronJobStatus {
  const active = status.active ?? [];
  const isListed = active.some(({ uid }) => uid === job.metadata.uid);
  const added = isListed || finishedBy(job) ? [] : [referenceTo(job)];
  return {
    ...status,
    ...(active.length + added.length > 0 && { active: [...active, ...added] }),
    lastScheduleTime: rfc3339(atMs),
  };
}
