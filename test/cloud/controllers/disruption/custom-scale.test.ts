import { expect, test } from "bun:test";
import { resources, type ResourceType } from "#cloud/kube-client";
import { startDisruptionController } from "#internal/cloud/controllers/disruption/controller.ts";
import { smallPod, startCluster, until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { crd } from "#internal/test/cloud/controllers/workloads/autoscaler/gadget-crd.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject } from "#shared/kube";

const gadgets: ResourceType = {
  group: "example.com",
  version: "v1",
  plural: "gadgets",
  kind: "Gadget",
  namespaced: true,
};

test("a budget in percent counts what the scale of a custom resource wants", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await kube.create(resources.crds, crd);
  const gadget = {
    apiVersion: "example.com/v1",
    kind: "Gadget",
    metadata: { name: "g", namespace: "default" },
  };
  let owner: KubeObject = gadget;
  await until("the kind is served", async () => {
    owner = await kube.create<KubeObject>(gadgets, { ...gadget, spec: { size: 4 } }).catch(() => gadget);
    return owner !== gadget;
  });
  const { uid = "" } = owner.metadata;
  const reference = { apiVersion: "example.com/v1", kind: "Gadget", name: "g", uid, controller: true };
  const pod = smallPod("p");
  await kube.create(resources.pods, {
    ...pod,
    metadata: { ...pod.metadata, labels: { app: "g" }, ownerReferences: [reference] },
  });
  await using _controller = startDisruptionController(deps);
  await kube.create<KubeObject>(resources.podDisruptionBudgets, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "b", namespace: "default" },
    spec: { minAvailable: "50%", selector: { matchLabels: { app: "g" } } },
  });
  const status = (): unknown => deps.podDisruptionBudgets.get("default/b")?.status;
  await until(
    "it is counted",
    () => status() !== undefined && (status() as { expectedPods?: number }).expectedPods === 4,
  );
  expect(status()).toMatchObject({ expectedPods: 4, desiredHealthy: 2, currentHealthy: 0 });
});
