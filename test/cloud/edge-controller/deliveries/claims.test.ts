import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { pod, startCloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";
import type { Pod } from "#shared/kube";

const at = { namespace: "default", name: "data" };
const claim = { metadata: at, spec: { volumeName: "pv" }, status: { phase: "Bound" } };
const volume = {
  metadata: { name: "pv" },
  spec: { hostPath: { path: "/data", type: "" }, claimRef: at },
};
const web = (): Pod => ({
  ...pod("web", "e1"),
  spec: {
    nodeName: "e1",
    containers: [],
    volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }],
  },
});

test("a node gets a bound claim, with the place of its volume, before the pod that uses it", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.persistentVolumeClaims, claim);
    kube.put(resources.persistentVolumes, volume);
  });
  cloud.kube.put(resources.pods, web());
  await cloud.settle();
  expect(cloud.texts()).toEqual(["insert default/persistentvolumeclaim/data", "insert default/pod/web"]);
  const kubeedgeVolumeSource = { path: "/data", type: "", isProvisioned: false };
  expect(cloud.sent[0]).toMatchObject({ content: { kind: "PersistentVolumeClaim", kubeedgeVolumeSource } });
});

test("a claim that is bound after its pod has a node follows, and goes when it is deleted", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.persistentVolumeClaims, { ...claim, spec: {}, status: { phase: "Pending" } });
    kube.put(resources.pods, web());
  });
  cloud.kube.put(resources.persistentVolumeClaims, claim);
  await cloud.settle();
  expect(cloud.texts()).toEqual([]);
  cloud.kube.put(resources.persistentVolumes, volume);
  await cloud.settle();
  expect(cloud.texts()).toEqual(["insert default/persistentvolumeclaim/data"]);
  await cloud.kube.remove(resources.persistentVolumeClaims, at);
  await cloud.settle();
  expect(cloud.texts().at(-1)).toBe("delete default/persistentvolumeclaim/data");
});
