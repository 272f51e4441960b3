import { expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startJobCluster } from "#internal/test/cloud/controllers/workloads/job/job-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("kubectl drives a CronJob through its life", async () => {
  using dir = tempDir();
  await using jobs = await startJobCluster(dir.path);
  const { kubectl } = jobs.cluster;
  // The shortest interval; Jobs are named for the minute, so that it starts one a minute.
  await kubectl("create", "cronjob", "backup", "--image=busybox:1", "--schedule=@every 1s", "--", "true");
  await until(
    "a Job is active",
    async () => (await kubectl("get", "cronjob", "backup", "-o=jsonpath={.status.active[*].name}")) !== "",
  );
  expect(await kubectl("get", "cronjob", "backup", "--no-headers")).toMatch(
    /^backup +@every 1s .*False +1 +\d+s /,
  );
  await kubectl("patch", "cronjob", "backup", "-p", '{"spec":{"suspend":true}}');

  await kubectl("create", "job", "by-hand", "--from=cronjob/backup");
  const [pod] = await jobs.running("by-hand", 1);
  if (pod) await jobs.end(pod, 0);
  await kubectl("wait", "job/by-hand", "--for=condition=complete", "--timeout=10s");
  await until(
    "the success is noted",
    async () =>
      (await kubectl("get", "cronjob", "backup", "-o=jsonpath={.status.lastSuccessfulTime}")) !== "",
  );
  expect((await jobs.events("backup")).filter((text) => text.startsWith("UnexpectedJob"))).toEqual([]);

  await kubectl("delete", "cronjob", "backup", "--timeout=10s");
  await until("its Jobs are gone", async () => (await kubectl("get", "jobs,pods", "-o=name")) === "");
}, 30_000);
