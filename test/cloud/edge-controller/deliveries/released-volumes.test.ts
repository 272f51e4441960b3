import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startCloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";
import { contentDigest, type KubeObject } from "#shared/kube";

const released = (over: { phase?: string; policy?: string; by?: string; node?: string } = {}): KubeObject => {
  const { phase = "Released", policy = "Delete", by = "kubeedge.io/local-path", node = "e1" } = over;
  const expression = { key: "kubernetes.io/hostname", operator: "In", values: [node] };
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "pvc-1", uid: "u1", annotations: { "pv.kubernetes.io/provisioned-by": by } },
    spec: {
      persistentVolumeReclaimPolicy: policy,
      hostPath: { path: "/s/pvc-1_default_data", type: "DirectoryOrCreate" },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: [expression] }] } },
    },
    status: { phase },
  };
};

const insert = "insert default/persistentvolume/pvc-1";

test("a volume whose claim was deleted goes to its node, and goes when the node has acknowledged it", async () => {
  await using cloud = await startCloud();
  cloud.kube.put(resources.persistentVolumes, released({ phase: "Bound" }));
  await cloud.settle();
  expect(cloud.texts()).toEqual([]);
  cloud.kube.put(resources.persistentVolumes, released());
  await cloud.settle();
  expect(cloud.texts()).toEqual([insert]);
  expect(cloud.kube.all(resources.persistentVolumes)).toHaveLength(1);
  const record = { apiVersion: "v1", kind: "PersistentVolume", namespace: "", name: "pvc-1", uid: "u1" };
  await cloud.acknowledge({ ...record, resourceVersion: "1" });
  expect(cloud.kube.all(resources.persistentVolumes)).toEqual([]);
  expect(cloud.texts()).toEqual(["delete default/persistentvolume/pvc-1"]);
});

test.each([
  ["is retained", { policy: "Retain" }],
  ["is of another provisioner", { by: "example.com/disk" }],
  ["is on a node that is no edge node", { node: "c1" }],
])("a released volume that %s is sent to nobody", async (_what, over) => {
  await using cloud = await startCloud();
  cloud.kube.put(resources.persistentVolumes, released(over));
  await cloud.settle();
  await cloud.connect();
  expect(cloud.texts()).toEqual([]);
});

test("what a node missed while it was offline it gets when it connects, again until it is acknowledged", async () => {
  await using cloud = await startCloud((kube) => kube.put(resources.persistentVolumes, released()));
  await cloud.connect();
  await cloud.connect();
  expect(cloud.texts()).toEqual([insert, insert]);
});

test("an acknowledgement that a killed cloudcore did not act on is found in its records", async () => {
  await using cloud = await startCloud((kube) => kube.put(resources.persistentVolumes, released()));
  const [stored = released()] = cloud.kube.all(resources.persistentVolumes);
  cloud.delivered.push({
    apiVersion: "v1",
    kind: "PersistentVolume",
    namespace: "",
    name: "pvc-1",
    uid: "u1",
    resourceVersion: "1",
    digest: contentDigest(stored),
  });
  await cloud.connect();
  expect(cloud.kube.all(resources.persistentVolumes)).toEqual([]);
});
