import { expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startKubectlCluster } from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("kubectl drain and evictions respect a disruption budget", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b"]);
  const { kubectl, deps, kube } = cluster;
  const budget = (field: string): Promise<string> => kubectl("get", "pdb", "web", `-o=jsonpath={${field}}`);
  const evict = (name: string): Promise<unknown> =>
    kube.createSubresource(
      { group: "", version: "v1", plural: "pods", kind: "Pod", namespaced: true },
      { namespace: "default", name },
      "eviction",
      {
        apiVersion: "policy/v1",
        kind: "Eviction",
        metadata: { name, namespace: "default" },
      },
    );

  await kubectl("create", "deployment", "web", "--image=app:1", "--replicas=3");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  await kubectl("create", "pdb", "web", "--selector=app=web", "--max-unavailable=1");
  await until("one disruption is allowed", async () => (await budget(".status.disruptionsAllowed")) === "1");
  expect(await budget(".status")).toMatch(/"currentHealthy":3,"desiredHealthy":2.*"expectedPods":3/);

  cluster.offline.add("a").add("b");
  const [first, second] = deps.pods.list().map(({ metadata }) => metadata.name ?? "");
  const results = await Promise.allSettled([evict(first ?? ""), evict(second ?? "")]);
  expect(results.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
  expect(results.find((result) => result.status === "rejected")?.reason).toMatchObject({
    httpStatus: 429,
    status: { details: { causes: [{ reason: "DisruptionBudget" }] } },
  });
  const evicted = deps.pods.list().find(({ metadata }) => metadata.deletionTimestamp !== undefined);
  expect(evicted?.status?.conditions?.find(({ type }) => type === "DisruptionTarget")).toMatchObject({
    status: "True",
    reason: "EvictionByEvictionAPI",
    message: "Eviction API: evicting",
  });

  cluster.offline.clear();
  await until("it is replaced", async () => (await budget(".status.disruptionsAllowed")) === "1");
  await kubectl("drain", "a", "--timeout=20s");
  await kubectl("rollout", "status", "deploy/web", "--timeout=10s");
  expect(deps.pods.list().map(({ spec }) => spec.nodeName)).toEqual(["b", "b", "b"]);
  expect(await kubectl("get", "pdb", "web", "--no-headers")).toMatch(/^web +N\/A +1 +1 /);
}, 60_000);
