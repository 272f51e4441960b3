import { expect, setDefaultTimeout, test } from "bun:test";
import { resources, type ResourceType } from "#cloud/kube-client";
import { crd as crdOf } from "./gadget-crd.ts";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import {
  startKubectlCluster,
  type KubectlCluster,
} from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject } from "#shared/kube";

setDefaultTimeout(60_000);

const template = {
  metadata: { labels: { app: "web" } },
  spec: { containers: [{ name: "web", image: "web:1", resources: { requests: { cpu: "100m" } } }] },
};
const workload = (apiVersion: string, kind: string, selector: object): KubeObject => ({
  apiVersion,
  kind,
  metadata: { name: "web" },
  spec: { replicas: 1, selector, template, ...(kind === "StatefulSet" && { serviceName: "web" }) },
});
const labels = { matchLabels: { app: "web" } };

function autoscaler(apiVersion: string, kind: string, bounds: object): KubeObject {
  return {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name: "web" },
    spec: { scaleTargetRef: { apiVersion, kind, name: "web" }, ...bounds },
  };
}

interface Shown extends KubeObject {
  status?: { desiredReplicas?: number; conditions?: { type: string; status: string; reason: string }[] };
}

/** Waits for a condition, and gives all. */
async function conditions({ kube }: KubectlCluster, type: string, reason: string): Promise<unknown> {
  let found: NonNullable<NonNullable<Shown["status"]>["conditions"]> = [];
  await until(
    `${type} ${reason}`,
    async () => {
      const shown = await kube.get<Shown>(resources.autoscalers, { namespace: "default", name: "web" });
      found = shown.status?.conditions ?? [];
      return found.some((one) => one.type === type && one.reason === reason);
    },
    30_000,
  );
  return Object.fromEntries(found.map((one) => [one.type, `${one.status} ${one.reason}`]));
}

test.each([
  ["apps/v1", "Deployment", resources.deployments, labels],
  ["apps/v1", "ReplicaSet", resources.replicaSets, labels],
  ["apps/v1", "StatefulSet", resources.statefulSets, labels],
  ["v1", "ReplicationController", resources.replicationControllers, { app: "web" }],
])("the scale of %s %s is brought within the bounds", async (apiVersion, kind, type, selector) => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  await cluster.apply(workload(apiVersion, kind, selector));
  await cluster.apply(autoscaler(apiVersion, kind, { minReplicas: 2, maxReplicas: 3 }));
  expect(await conditions(cluster, "AbleToScale", "SucceededRescale")).toEqual({
    AbleToScale: "True SucceededRescale",
  });
  expect(await replicasOf(cluster, type)).toBe(2);
  await until("the Event", async () =>
    (await cluster.kubectl("get", "events")).includes("SuccessfulRescale"),
  );
  expect(await cluster.kubectl("get", "events")).toContain(
    "New size: 2; reason: Current number of replicas below Spec.MinReplicas",
  );
});

test("a custom resource with a scale is scaled", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, []);
  await cluster.apply(crdOf);
  await cluster.kubectl("wait", "crd/gadgets.example.com", "--for=condition=Established", "--timeout=20s");
  await cluster.apply({
    apiVersion: "example.com/v1",
    kind: "Gadget",
    metadata: { name: "web" },
    spec: { size: 1 },
    status: { selector: "app=web" },
  });
  await cluster.apply(autoscaler("example.com/v1", "Gadget", { minReplicas: 2, maxReplicas: 3 }));
  await conditions(cluster, "AbleToScale", "SucceededRescale");
  expect(await cluster.kubectl("get", "gadget", "web", "-o", "jsonpath={.spec.size}")).toBe("2");
});

test("a target that does not exist, and metrics that nobody serves, are said by conditions", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a"]);
  await cluster.apply(autoscaler("apps/v1", "Deployment", { maxReplicas: 3 }));
  expect(await conditions(cluster, "AbleToScale", "FailedGetScale")).toEqual({
    AbleToScale: "False FailedGetScale",
  });
  await cluster.apply(workload("apps/v1", "Deployment", labels));
  const pods = {
    type: "Pods",
    pods: { metric: { name: "q" }, target: { type: "AverageValue", averageValue: "1" } },
  };
  await cluster.apply(autoscaler("apps/v1", "Deployment", { maxReplicas: 3, metrics: [pods] }));
  expect(await conditions(cluster, "ScalingActive", "FailedGetPodsMetric")).toEqual({
    AbleToScale: "True SucceededGetScale",
    ScalingActive: "False FailedGetPodsMetric",
  });
  await cluster.apply(autoscaler("apps/v1", "Deployment", { maxReplicas: 4 }));
  expect(await conditions(cluster, "ScalingActive", "FailedGetResourceMetric")).toEqual({
    AbleToScale: "True SucceededGetScale",
    ScalingActive: "False FailedGetResourceMetric",
  });
});

async function replicasOf({ kube }: KubectlCluster, type: ResourceType): Promise<unknown> {
  const found = await kube.get<KubeObject & { spec: { replicas?: number } }>(type, {
    namespace: "default",
    name: "web",
  });
  return found.spec.replicas;
}
