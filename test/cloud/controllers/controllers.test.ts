import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startControllers } from "#cloud/controllers";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject, Pod } from "#shared/kube";
import { readyNode, smallPod, startCluster, until } from "./cluster-harness.ts";

test("a Deployment creates pods on a node, and deletes them with itself", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _controllers = await startControllers(deps);
  const node = readyNode("edge-1");
  await kube.create(resources.nodes, node);
  const options = { type: "merge", subresource: "status" } as const;
  await kube.patch(resources.nodes, { name: "edge-1" }, { status: node.status }, options);
  const labels = { app: "web" };
  const template = { metadata: { labels }, spec: smallPod("").spec };
  const deployment: KubeObject = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "default" },
    spec: { replicas: 2, selector: { matchLabels: labels }, template },
  };
  await kube.create(resources.deployments, deployment);
  const pods = (): Pod[] => deps.pods.list().filter((pod) => pod.metadata.labels?.["app"] === "web");
  await until("two pods bound", () => pods().filter((pod) => pod.spec.nodeName === "edge-1").length === 2);
  expect(deps.nodes.get("edge-1")?.spec?.taints ?? []).toEqual([]);
  await kube.remove(
    resources.deployments,
    { name: "web", namespace: "default" },
    { propagation: "Background" },
  );
  await until("pods are being deleted", () =>
    pods().every((pod) => pod.metadata.deletionTimestamp !== undefined),
  );
  await until("ReplicaSet is gone", () => deps.replicaSets.list().length === 0);
});
