import { afterAll, beforeAll, expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { conditionsOf, startJobCluster, type JobCluster } from "./job-cluster.ts";

let dir: ReturnType<typeof tempDir>;
let jobs: JobCluster;

beforeAll(async () => {
  dir = tempDir();
  jobs = await startJobCluster(dir.path);
});

afterAll(async () => {
  await jobs[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const complete = [
  "SuccessCriteriaMet=True CompletionsReached: Reached expected number of succeeded pods",
  "Complete=True CompletionsReached: Reached expected number of succeeded pods",
];

test("a Job runs as many pods at once as it may, until enough have succeeded", async () => {
  await jobs.run("plain", { completions: 3, parallelism: 2 });
  for (const pod of await jobs.running("plain", 2)) await jobs.end(pod, 0);
  const { status } = await jobs.reach(
    "plain",
    "one runs",
    (job) => job.status?.succeeded === 2 && job.status.ready === 1,
  );
  expect(status).toMatchObject({ active: 1, ready: 1, terminating: 0, uncountedTerminatedPods: {} });
  const [last] = await jobs.running("plain", 1);
  if (last) await jobs.end(last, 0);
  const done = await jobs.finished("plain");
  expect(done.status).toEqual({
    ready: 0,
    terminating: 0,
    succeeded: 3,
    startTime: expect.any(String),
    completionTime: expect.any(String),
    uncountedTerminatedPods: {},
    conditions: [expect.anything(), expect.anything()],
  });
  expect(conditionsOf(done)).toEqual(complete);
  await until("no finalizer is left", () => jobs.pods("plain").every(({ metadata }) => !metadata.finalizers));
  expect(await jobs.cluster.kubectl("get", "job", "plain", "--no-headers")).toMatch(/^plain +3\/3 /);
  await until("the Event", async () => (await jobs.events("plain")).includes("Completed Job completed"));
});

test("the pods of an Indexed Job know their index", async () => {
  await jobs.run("indexed", { completionMode: "Indexed", completions: 3, parallelism: 3 });
  const pods = await jobs.running("indexed", 3);
  const found = pods.map(({ metadata, spec }) => ({
    name: metadata.name?.replace(/-[a-z0-9]{5}$/, ""),
    host: spec.hostname,
    annotation: metadata.annotations?.["batch.kubernetes.io/job-completion-index"],
    label: metadata.labels?.["batch.kubernetes.io/job-completion-index"],
    variable: spec.containers[0]?.env?.[0],
  }));
  const valueFrom = {
    fieldRef: { apiVersion: "v1", fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']" },
  };
  expect(found.toSorted((a, b) => ((a.host ?? "") < (b.host ?? "") ? -1 : 1))).toEqual(
    ["0", "1", "2"].map((index) => ({
      name: `indexed-${index}`,
      host: `indexed-${index}`,
      annotation: index,
      label: index,
      variable: { name: "JOB_COMPLETION_INDEX", valueFrom },
    })),
  );
  for (const pod of pods) await jobs.end(pod, 0);
  const { status } = await jobs.finished("indexed");
  expect(status).toMatchObject({ succeeded: 3, completedIndexes: "0-2" });
});

test("a Job that fails too often ends its other pods, and fails when they are gone", async () => {
  await jobs.run("failing", { completions: 3, parallelism: 3, backoffLimit: 0 });
  const [pod] = await jobs.running("failing", 3);
  if (pod) await jobs.end(pod, 1);
  const done = await jobs.finished("failing");
  const text = "BackoffLimitExceeded: Job has reached the specified backoff limit";
  expect(conditionsOf(done)).toEqual([`FailureTarget=True ${text}`, `Failed=True ${text}`]);
  expect(done.status).toMatchObject({ failed: 3, ready: 0, terminating: 0, uncountedTerminatedPods: {} });
  expect(jobs.pods("failing").map(({ status }) => status?.phase)).toEqual(["Failed"]);
});

test("a Job whose time is over fails", async () => {
  await jobs.run("late", { activeDeadlineSeconds: 1 });
  const done = await jobs.finished("late");
  expect(conditionsOf(done).at(-1)).toBe(
    "Failed=True DeadlineExceeded: Job was active longer than specified deadline",
  );
});

test("a suspended Job has no pods until it is resumed, and counts nothing that it ended", async () => {
  await jobs.run("paused", { completions: 2, parallelism: 2, backoffLimit: 0, suspend: true });
  const suspended = await jobs.reach("paused", "suspended", (job) => conditionsOf(job).length > 0);
  expect(conditionsOf(suspended)).toEqual(["Suspended=True JobSuspended: Job suspended"]);
  expect(suspended.status?.startTime).toBeUndefined();
  const suspend = (value: boolean): Promise<string> =>
    jobs.cluster.kubectl("patch", "job", "paused", "-p", JSON.stringify({ spec: { suspend: value } }));
  await suspend(false);
  await jobs.running("paused", 2);
  await suspend(true);
  await until("the pods are gone", () => jobs.pods("paused").length === 0);
  await suspend(false);
  for (const pod of await jobs.running("paused", 2)) await jobs.end(pod, 0);
  const done = await jobs.finished("paused");
  expect(done.status?.failed).toBeUndefined();
  expect(conditionsOf(done)).toEqual(["Suspended=False JobResumed: Job resumed", ...complete]);
});

test("a Job with fewer pods at once ends some, which is no failure", async () => {
  await jobs.run("shrinking", { completions: 3, parallelism: 3, backoffLimit: 0 });
  await jobs.running("shrinking", 3);
  await jobs.cluster.kubectl("patch", "job", "shrinking", "-p", '{"spec":{"parallelism":1}}');
  await jobs.running("shrinking", 1);
  await jobs.reach("shrinking", "one is active", ({ status }) => status?.active === 1);
  for (let left = 3; left > 0; left -= 1) {
    const [pod] = await jobs.running("shrinking", 1);
    if (pod) await jobs.end(pod, 0);
    await jobs.reach("shrinking", "counted", ({ status }) => status?.succeeded === 4 - left);
  }
  expect((await jobs.finished("shrinking")).status).toMatchObject({ succeeded: 3 });
});

test("a Job is deleted with its pods some time after it has finished", async () => {
  await jobs.run("brief", { ttlSecondsAfterFinished: 0 });
  const [pod] = await jobs.running("brief", 1);
  if (pod) await jobs.end(pod, 0);
  const find = () => jobs.cluster.kube.find(resources.jobs, { namespace: "default", name: "brief" });
  await until("the Job is gone", async () => (await find()) === undefined);
  await until("the pod is gone", () => jobs.pods("brief").length === 0);
});

test("a Job adopts pods that lost their owner and releases those without its labels", async () => {
  await jobs.run("owner", { completions: 2, parallelism: 1 });
  const [pod] = await jobs.running("owner", 1);
  const at = { namespace: "default", name: pod?.metadata.name ?? "" };
  const read = () => jobs.cluster.deps.pods.get(`default/${at.name}`)?.metadata;
  const patch = { metadata: { ownerReferences: null } };
  await jobs.cluster.kube.patch(resources.pods, at, patch, { type: "merge" });
  await until("adopted", () => read()?.ownerReferences?.[0]?.name === "owner");
  await until("tracked", () => read()?.finalizers?.includes("batch.kubernetes.io/job-tracking") === true);
  await jobs.cluster.kube.patch(resources.pods, at, { metadata: { labels: null } }, { type: "merge" });
  await until("released", () => read()?.ownerReferences === undefined);
  await until("free", () => read()?.finalizers === undefined);
  await jobs.running("owner", 1);
});

test.each(["background", "foreground"])("a Job is deleted with its pods (%s)", async (cascade) => {
  const name = `going-${cascade}`;
  await jobs.run(name, { completions: 4, parallelism: 2 });
  await jobs.running(name, 2);
  await jobs.cluster.kubectl("delete", "job", name, `--cascade=${cascade}`, "--timeout=10s");
  await until("its pods are gone", () => jobs.pods(name).length === 0);
});

test("pods that outlive their Job lose the finalizer", async () => {
  await jobs.run("parent", { completions: 4, parallelism: 2 });
  await jobs.running("parent", 2);
  await jobs.cluster.kubectl("delete", "job", "parent", "--cascade=orphan", "--timeout=10s");
  await until("free", () => jobs.pods("parent").every(({ metadata }) => !metadata.finalizers));
  expect(jobs.pods("parent")).toHaveLength(2);
});

test("a Job that another controller manages is left alone", async () => {
  await jobs.run("foreign", { managedBy: "example.com/queue" });
  await jobs.run("own", {});
  await jobs.running("own", 1);
  expect(jobs.pods("foreign")).toEqual([]);
  expect((await jobs.job("foreign")).status).toEqual({});
});

test("a pod on a node that is offline keeps its Job from being complete", async () => {
  await jobs.run("far", { completions: 2, parallelism: 2 }, { nodeName: "b" });
  const [first, second] = await jobs.running("far", 2);
  if (!first || !second) throw new Error("two pods run");
  jobs.cluster.offline.add("b");
  await jobs.cluster.kubectl("delete", "pod", first.metadata.name ?? "", "--wait=false");
  await jobs.reach(
    "far",
    "one is terminating",
    ({ status }) => status?.terminating === 1 && status.failed === 1,
  );
  // What it did while it was offline is reported when it is back, in one go.
  await jobs.end(second, 0);
  await jobs.reach("far", "one has succeeded", ({ status }) => status?.succeeded === 1);
  jobs.cluster.offline.delete("b");
  await jobs.reach("far", "none is terminating", ({ status }) => status?.terminating === 0);
  expect((await jobs.job("far")).status).toMatchObject({ succeeded: 1, failed: 1 });
});
