import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { smallPod, until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startKubectlCluster } from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod } from "#shared/kube";

test("a critical pod takes the room of another one, which nobody else gets meanwhile", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  const { kube, deps, kubectl } = cluster;
  const find = (name: string): Pod | undefined => deps.pods.get(`default/${name}`);
  await kube.create(resources.pods, smallPod("low", "800m"));
  await until("low runs", () => find("low")?.status?.phase === "Running");
  // Its node ends no pod for now.
  cluster.offline.add("a");
  const critical = smallPod("critical", "900m");
  await kube.create(resources.pods, {
    ...critical,
    spec: { ...critical.spec, priorityClassName: "system-node-critical" },
  });
  await until("room is made", () => find("critical")?.status?.nominatedNodeName === "a");
  await until("low is ending", () => find("low")?.metadata.deletionTimestamp !== undefined);
  const conditions = find("low")?.status?.conditions ?? [];
  expect(conditions.find(({ type }) => type === "DisruptionTarget")).toMatchObject({
    status: "True",
    reason: "PreemptionByScheduler",
    message: "default-scheduler: preempting to accommodate a higher priority pod",
  });
  await kube.create(resources.pods, smallPod("eager", "800m"));
  await until("eager waits", () => find("eager")?.status?.conditions?.[0]?.reason === "Unschedulable");
  await kube.remove(resources.pods, { name: "low", namespace: "default" }, { graceSeconds: 0 });
  await until("critical has its room", () => find("critical")?.spec.nodeName === "a");
  expect(find("eager")?.spec.nodeName).toBeUndefined();
  const uid = find("critical")?.metadata.uid ?? "";
  expect(await kubectl("get", "events", "-o", "jsonpath={.items[*].message}")).toContain(
    `Preempted by pod ${uid} on node a`,
  );
}, 30_000);
