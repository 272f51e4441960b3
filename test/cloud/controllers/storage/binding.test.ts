import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type {
  PersistentVolume,
  PersistentVolumeClaim,
} from "#internal/cloud/controllers/framework/storage.ts";
import { localPathClass } from "#internal/cloud/controllers/storage/local-path.ts";
import { smallPod, until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import {
  startKubectlCluster,
  type KubectlCluster,
} from "#internal/test/cloud/controllers/workloads/kubectl-cluster.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod } from "#shared/kube";

const claimOf = (name: string, spec: Partial<PersistentVolumeClaim["spec"]> = {}): PersistentVolumeClaim => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...spec },
});

const volumeOf = (
  name: string,
  storage: string,
  spec: Partial<PersistentVolume["spec"]> = {},
): PersistentVolume => ({
  apiVersion: "v1",
  kind: "PersistentVolume",
  metadata: { name, labels: { size: storage } },
  spec: {
    accessModes: ["ReadWriteOnce"],
    capacity: { storage },
    hostPath: { path: `/data/${name}` },
    ...spec,
  },
});

const podOf = (name: string, claim: string): Pod => {
  const pod = smallPod(name);
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: claim } }];
  return { ...pod, spec: { ...pod.spec, volumes } };
};

/** Name and volume of the claims, and phase, claim of the volumes. */
const stateOf = ({ deps }: KubectlCluster): string[] => [
  ...deps.persistentVolumeClaims
    .list()
    .map(({ metadata, spec, status }) => `${metadata.name} ${status?.phase} ${spec.volumeName ?? "-"}`),
  ...deps.persistentVolumes
    .list()
    .map(({ metadata, spec, status }) => `${metadata.name} ${status?.phase} ${spec.claimRef?.name ?? "-"}`),
];

test("a claim gets the smallest volume that is large enough, and a retained one is released with it", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, []);
  const { kube, kubectl } = cluster;
  for (const size of ["3Gi", "2Gi", "500Mi"])
    await kube.create(resources.persistentVolumes, volumeOf(`v-${size.toLowerCase()}`, size));
  await until("available", () => stateOf(cluster).filter((line) => line.includes("Available")).length === 3);
  await kube.create(resources.persistentVolumeClaims, claimOf("data", { storageClassName: "" }));
  await until("bound", () => stateOf(cluster).includes("data Bound v-2gi"));
  await until("volume bound", () => stateOf(cluster).includes("v-2gi Bound data"));
  expect(await kubectl("get", "pvc", "data")).toMatch(/data +Bound +v-2gi +2Gi +RWO/);
  await kubectl("delete", "pvc", "data", "--timeout=10s");
  await until("released", () => stateOf(cluster).includes("v-2gi Released data"));
}, 30_000);

test("a claim may name its volume, select it by labels, and waits when nothing matches", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, []);
  const { kube, kubectl } = cluster;
  await kube.create(resources.persistentVolumes, volumeOf("a", "1Gi"));
  await kube.create(resources.persistentVolumes, volumeOf("b", "2Gi"));
  await kube.create(
    resources.persistentVolumes,
    volumeOf("c", "3Gi", { claimRef: { namespace: "default", name: "third" } }),
  );
  const none = { storageClassName: "" };
  await kube.create(resources.persistentVolumeClaims, claimOf("first", { ...none, volumeName: "b" }));
  await until("first", () => stateOf(cluster).includes("first Bound b"));
  const selector = { matchLabels: { size: "1Gi" } };
  await kube.create(resources.persistentVolumeClaims, claimOf("second", { ...none, selector }));
  await until("second", () => stateOf(cluster).includes("second Bound a"));
  await kube.create(resources.persistentVolumeClaims, claimOf("fourth", none));
  await kube.create(resources.persistentVolumeClaims, claimOf("third", none));
  await until("third", () => stateOf(cluster).includes("third Bound c"));
  const text = "no persistent volumes available for this claim and no storage class is set";
  await until("fourth waits", async () => (await kubectl("get", "events")).includes(text));
  expect(stateOf(cluster)).toContain("fourth Pending -");
}, 30_000);

test("a pod with a claim of the default class gets a volume on its node, which both outlive it, and stays until the node has given it back", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b"]);
  const { kube, kubectl, deps } = cluster;
  for (const name of ["a", "b"]) await kubectl("label", "node", name, `kubernetes.io/hostname=${name}`);
  await kube.create(resources.storageClasses, localPathClass);
  await kube.create(resources.persistentVolumeClaims, claimOf("data"));
  await until("waits", async () => (await kubectl("get", "events")).includes("waiting for first consumer"));
  const first = podOf("first", "data");
  await kube.create(resources.pods, {
    ...first,
    spec: { ...first.spec, nodeSelector: { "kubernetes.io/hostname": "b" } },
  });
  await until("first runs", () => deps.pods.get("default/first")?.spec.nodeName === "b");
  const [volume] = deps.persistentVolumes.list();
  const uid = deps.persistentVolumeClaims.get("default/data")?.metadata.uid ?? "";
  expect(volume?.metadata.name).toBe(`pvc-${uid}`);
  expect(volume?.spec).toMatchObject({
    storageClassName: "local-path",
    hostPath: { path: `/var/lib/kubeedge/storage/pvc-${uid}_default_data`, type: "DirectoryOrCreate" },
    persistentVolumeReclaimPolicy: "Delete",
  });

  await kubectl("delete", "pvc", "data", "--wait=false");
  await kubectl("delete", "pod", "first", "--wait=false");
  // The node has to remove the directory first; one that is gone has nothing to remove.
  await until("released", () => stateOf(cluster).join() === `pvc-${uid} Released data`);
  await kubectl("delete", "node", "b");
  await until("all gone", () => stateOf(cluster).length === 0);
}, 60_000);

test("a pod waits for a claim that does not exist, and goes where its volume is", async () => {
  using dir = tempDir();
  await using cluster = await startKubectlCluster(dir.path, ["a", "b"]);
  const { kube, deps } = cluster;
  const reason = (): string | undefined =>
    deps.pods.get("default/p")?.status?.conditions?.find(({ type }) => type === "PodScheduled")?.message;
  await kube.create(resources.pods, podOf("p", "data"));
  const missing =
    '0/2 nodes are available: persistentvolumeclaim "data" not found. ' +
    "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
  await until("missing", () => reason() === missing);
  const nodeAffinity = {
    required: {
      nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["b"] }] }],
    },
  };
  await kube.create(resources.persistentVolumes, volumeOf("v", "1Gi", { nodeAffinity }));
  await kube.create(resources.persistentVolumeClaims, claimOf("data", { storageClassName: "" }));
  await until("on b", () => deps.pods.get("default/p")?.spec.nodeName === "b");
}, 30_000);
