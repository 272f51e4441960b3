import { afterEach, beforeEach, expect, test } from "bun:test";
import { KubeError, resources } from "#cloud/kube-client";
import { nextTurn, rfc3339 } from "#shared/clock";
import type { Event } from "#shared/kube";
import { followShared } from "#internal/cloud/controllers/framework/shared-informers.ts";
import type { CronJob, Job } from "#internal/cloud/controllers/framework/workloads.ts";
import { startCronJobController } from "#internal/cloud/controllers/workloads/cron-job/controller.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const start = Date.UTC(2026, 0, 1, 12);
const minute = 60_000;

/** A clock that may be set while timers go on. */
class SetClock extends FakeClock {
  offsetMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.offsetMs;
  }
}

let clock: SetClock;
let kube: FakeKubeClient;
let stop: () => Promise<void>;

beforeEach(async () => {
  clock = new SetClock(start);
  kube = new FakeKubeClient({ clock });
  stop = await run();
});

afterEach(() => stop());

/** Starts the controller, as after a restart. */
async function run(): Promise<() => Promise<void>> {
  const followed = followShared(kube);
  await followed.synced;
  const controller = startCronJobController({ kube, clock, log: silentLog(), ...followed.informers });
  return async () => {
    await controller[Symbol.asyncDispose]();
    await followed[Symbol.asyncDispose]();
  };
}

/** Until nothing has been asked of the API for some turns. */
async function settle(): Promise<void> {
  for (let calls = -1; calls !== kube.calls.length;) {
    calls = kube.calls.length;
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  }
}

async function pass(ms: number): Promise<void> {
  await clock.advance(ms);
  await settle();
}

async function create(spec: Partial<CronJob["spec"]> = {}, status?: CronJob["status"]): Promise<void> {
  const cronJob: CronJob = {
    metadata: { name: "c", namespace: "default" },
    spec: {
      schedule: "* * * * *",
      timeZone: "UTC",
      jobTemplate: {
        metadata: { labels: { app: "c" }, annotations: { note: "n" } },
        spec: { selector: {}, template: { spec: { containers: [] } } },
      },
      ...spec,
    },
    ...(status && { status }),
  };
  kube.put(resources.cronJobs, cronJob);
  await settle();
}

const read = (): CronJob | undefined => kube.peek<CronJob>(resources.cronJobs, "default/c");
const jobs = (): Job[] => kube.all<Job>(resources.jobs);
const names = (): (string | undefined)[] => jobs().map(({ metadata }) => metadata.name);
const events = (reason: string): string[] =>
  kube
    .all<Event>(resources.events)
    .filter((event) => event.reason === reason)
    .map(({ message }) => message);
const nameAt = (atMs: number): string => `c-${atMs / minute}`;

async function finish(name: string, type: "Complete" | "Failed" = "Complete"): Promise<void> {
  const job = kube.peek<Job>(resources.jobs, `default/${name}`);
  if (!job) throw new Error(`no Job ${name}`);
  const at = rfc3339(clock.nowMs());
  const status = {
    startTime: at,
    ...(type === "Complete" && { completionTime: at }),
    conditions: [{ type, status: "True" as const }],
  };
  kube.put(resources.jobs, { ...job, status });
  await settle();
}

test("a CronJob starts a Job when it is due, named for the minute", async () => {
  await create();
  expect(names()).toEqual([]);
  await pass(minute + 500);
  const name = nameAt(start + minute);
  expect(jobs()).toMatchObject([
    {
      metadata: {
        name,
        labels: { app: "c" },
        annotations: { note: "n", "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T12:01:00Z" },
        ownerReferences: [{ kind: "CronJob", name: "c", controller: true }],
      },
    },
  ]);
  expect(read()?.status).toMatchObject({
    active: [
      { apiVersion: "batch/v1", kind: "Job", name, namespace: "default", uid: jobs()[0]?.metadata.uid ?? "" },
    ],
    lastScheduleTime: "2026-01-01T12:01:00Z",
  });
  expect(events("SuccessfulCreate")).toEqual([`Created job ${name}`]);
  await finish(name);
  expect(read()?.status).toEqual({
    lastScheduleTime: "2026-01-01T12:01:00Z",
    lastSuccessfulTime: "2026-01-01T12:01:00Z",
  });
  expect(events("SawCompletedJob")).toEqual([`Saw completed job: ${name}, condition: Complete`]);
});

test("a CronJob that allows it has several Jobs at once", async () => {
  await create();
  await pass(3 * minute + 500);
  expect(names()).toHaveLength(3);
  expect(read()?.status?.active).toHaveLength(3);
});

test("a suspended CronJob starts nothing, and one Job for all that it missed when it is resumed", async () => {
  await create({ suspend: true });
  await pass(5 * minute + 500);
  expect(names()).toEqual([]);
  await kube.patch(
    resources.cronJobs,
    { name: "c", namespace: "default" },
    { spec: { suspend: false } },
    { type: "merge" },
  );
  await settle();
  expect(names()).toEqual([nameAt(start + 5 * minute)]);
});

test("a CronJob that forbids it waits for the Job before, and then starts the last one that was missed", async () => {
  await create({ concurrencyPolicy: "Forbid" });
  await pass(3 * minute + 500);
  expect(names()).toEqual([nameAt(start + minute)]);
  expect(events("JobAlreadyActive")).toEqual([
    "Not starting job because prior execution is running and concurrency policy is Forbid",
  ]);
  await finish(nameAt(start + minute));
  expect(names()).toEqual([nameAt(start + minute), nameAt(start + 3 * minute)]);
});

test("a CronJob that replaces deletes the Job before", async () => {
  await create({ concurrencyPolicy: "Replace" });
  await pass(2 * minute + 500);
  expect(names()).toEqual([nameAt(start + 2 * minute)]);
  expect(read()?.status?.active).toMatchObject([{ name: nameAt(start + 2 * minute) }]);
  expect(events("SuccessfulDelete")).toEqual([`Deleted job ${nameAt(start + minute)}`]);
});

test("of 10,000 missed minutes one is caught up on, which is reported", async () => {
  await stop();
  await create();
  clock.offsetMs = 10_000 * minute;
  stop = await run();
  await settle();
  expect(names()).toEqual([nameAt(start + 10_000 * minute)]);
  expect(events("TooManyMissedTimes")).toEqual([
    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew",
  ]);
});

test("what was missed for longer than its deadline is left out", async () => {
  await stop();
  await create({ schedule: "0 * * * *", startingDeadlineSeconds: 60 });
  clock.offsetMs = 90 * minute;
  stop = await run();
  await settle();
  expect(names()).toEqual([]);
  await pass(30 * minute + 500);
  expect(names()).toEqual([nameAt(start + 120 * minute)]);
});

test("a clock that goes back a moment starts nothing twice", async () => {
  await create({ successfulJobsHistoryLimit: 0 });
  await pass(minute + 500);
  await finish(nameAt(start + minute));
  expect(names()).toEqual([]);
  clock.offsetMs = -5_000;
  await pass(30_000);
  expect(names()).toEqual([]);
  await pass(35_000);
  expect(names()).toEqual([nameAt(start + 2 * minute)]);
});

test("a clock that was years ahead does not stop a CronJob for years", async () => {
  await create({}, { lastScheduleTime: "2099-01-01T00:00:00Z" });
  expect(names()).toEqual([]);
  expect(events("ClockSetBack")).toEqual([
    "The last schedule time 2099-01-01T00:00:00Z is in the future: the clock was set back. Jobs are started from now on",
  ]);
  await pass(minute + 500);
  expect(names()).toEqual([nameAt(start + minute)]);
});

test("a Job that was started before a crash is not started again", async () => {
  await create({ successfulJobsHistoryLimit: 0 });
  kube.fail(
    ({ verb, plural }) => verb === "replace" && plural === "cronjobs",
    new KubeError(500, "InternalError", "killed"),
    Infinity,
  );
  await clock.advance(minute + 110);
  await settle();
  expect(read()?.status?.lastScheduleTime).toBeUndefined();
  await stop();
  kube.succeed();
  await finish(nameAt(start + minute));
  stop = await run();
  await settle();
  expect(read()?.status?.lastScheduleTime).toBe("2026-01-01T12:01:00Z");
  expect(kube.calls.filter(({ verb, plural }) => verb === "create" && plural === "jobs")).toHaveLength(1);
  expect(names()).toEqual([]);
});

test("a CronJob keeps as many finished Jobs as it may", async () => {
  await create({ successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1 });
  for (const [index, type] of (["Complete", "Failed", "Complete", "Failed", "Complete"] as const).entries()) {
    await pass(index === 0 ? minute + 500 : minute);
    await finish(nameAt(start + (index + 1) * minute), type);
  }
  expect(names()).toEqual([3, 4, 5].map((count) => nameAt(start + count * minute)));
  expect(read()?.status).toEqual({
    lastScheduleTime: "2026-01-01T12:05:00Z",
    lastSuccessfulTime: "2026-01-01T12:05:00Z",
  });
});

test("a Job that was deleted is no longer active", async () => {
  await create();
  await pass(minute + 500);
  const name = nameAt(start + minute);
  await kube.remove(resources.jobs, { name, namespace: "default" });
  await settle();
  expect(read()?.status?.active).toBeUndefined();
  expect(events("MissingJob")).toEqual([`Active job went missing: ${name}`]);
});

test("a name that somebody else has is passed over", async () => {
  await create();
  const other = { metadata: { name: nameAt(start + minute), namespace: "default" }, spec: {} };
  kube.put(resources.jobs, other);
  await pass(2 * minute + 500);
  expect(names()).toEqual([nameAt(start + minute), nameAt(start + 2 * minute)]);
  expect(events("FailedCreate")).toHaveLength(1);
});

test("a schedule that takes long to read is reported and starts nothing", async () => {
  await create({ schedule: `${"0,".repeat(2050)}0 * * * *` });
  await pass(60 * minute + 500);
  expect(names()).toEqual([]);
  expect(events("UnparseableSchedule")).toEqual([
    expect.stringMatching(/^unparseable schedule: "0,0,.*…" : must have at most 4096 characters$/),
  ]);
});

test("a schedule is in the time of its place", async () => {
  await create({ schedule: "30 22 * * *", timeZone: "Asia/Tokyo" });
  await pass(90 * minute + 500);
  expect(read()?.status?.lastScheduleTime).toBe("2026-01-01T13:30:00Z");
});
