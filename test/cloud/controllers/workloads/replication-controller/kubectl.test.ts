import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { Pod } from "#shared/kube";
import { startKubectlCluster } from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const web = {
  apiVersion: "v1",
  kind: "ReplicationController",
  metadata: { name: "web" },
  spec: {
    replicas: 2,
    template: { metadata: { labels: { app: "web" } }, spec: { containers: [{ name: "c", image: "app:1" }] } },
  },
};

test("kubectl drives a ReplicationController through its life", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  const { kubectl, apply, kube, deps } = cluster;
  const ownedBy = ({ metadata }: Pod): string | undefined => metadata.ownerReferences?.[0]?.kind;
  const owned = (): Pod[] => deps.pods.list().filter((pod) => ownedBy(pod) === "ReplicationController");
  const orphan = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "mine", labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: "app:1" }] },
  };

  await apply(orphan);
  await apply(web);
  await kubectl("wait", "rc/web", "--for=jsonpath={.status.availableReplicas}=2", "--timeout=10s");
  expect(owned().map(({ metadata }) => metadata.name)).toContain("mine");
  expect(await kubectl("get", "rc", "web", "--no-headers")).toMatch(/^web +2 +2 +2 /);

  await kubectl("label", "pod", "mine", "app=other", "--overwrite");
  await until("mine is released and replaced", () => owned().length === 2);
  const mine = { namespace: "default", name: "mine" };
  await until(
    "mine has no owner",
    async () => ownedBy(await kube.get<Pod>(resources.pods, mine)) === undefined,
  );

  await kubectl("scale", "rc", "web", "--replicas=3");
  await kubectl("wait", "rc/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=10s");
  await kubectl("delete", "rc", "web", "--cascade=orphan");
  await until("orphaned", () => owned().length === 0);
  expect(deps.pods.list()).toHaveLength(4);

  await apply(web);
  await kubectl("wait", "rc/web", "--for=jsonpath={.status.replicas}=2", "--timeout=10s");
  await kubectl("delete", "rc", "web", "--cascade=foreground", "--timeout=10s");
  expect(deps.pods.list().map(({ metadata }) => metadata.name)).toEqual(["mine"]);
}, 30_000);
