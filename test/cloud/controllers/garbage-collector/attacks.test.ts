import { expect, setDefaultTimeout, test } from "bun:test";
import { resources, type KubeClient, type ResourceType } from "#cloud/kube-client";
import { startGarbageCollector } from "#cloud/controllers/garbage-collector";
import { startCluster, until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject, OwnerReference } from "#shared/kube";

setDefaultTimeout(120_000);

interface Made {
  readonly namespace?: string;
  readonly owners?: readonly OwnerReference[];
  readonly finalizers?: string[];
}

function make(kube: KubeClient, name: string, { namespace = "default", owners = [], finalizers }: Made = {}) {
  return kube.create<KubeObject>(resources.configMaps, {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace, ownerReferences: [...owners], ...(finalizers && { finalizers }) },
  });
}

function referenceTo({ metadata: { name = "", uid = "" } }: KubeObject, more: object = {}): OwnerReference {
  return { apiVersion: "v1", kind: "ConfigMap", name, uid, blockOwnerDeletion: true, ...more };
}

const names = async (kube: KubeClient, type: ResourceType = resources.configMaps): Promise<string[]> =>
  (await kube.list<KubeObject>(type, { namespace: "default" })).items.map(
    ({ metadata }) => metadata.name ?? "",
  );

test("owners in a cycle are deleted in the foreground, all of them", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _collector = startGarbageCollector(deps);
  const ring = await Promise.all(["a", "b", "c"].map((name) => make(kube, name)));
  for (const [index, { metadata }] of ring.entries()) {
    const next = ring[(index + 1) % ring.length] ?? { metadata: {} };
    const patch = { metadata: { ownerReferences: [referenceTo(next)] } };
    await kube.patch(resources.configMaps, { namespace: "default", name: metadata.name ?? "" }, patch, {
      type: "merge",
    });
  }
  await kube.remove(resources.configMaps, { namespace: "default", name: "a" }, { propagation: "Foreground" });
  await until("all are gone", async () => (await names(kube)).length === 0, 60_000);
});

test("an owner of another namespace is none: its dependent is garbage", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _collector = startGarbageCollector(deps);
  const owner = await make(kube, "owner", { namespace: "kube-system" });
  await make(kube, "dependent", { owners: [referenceTo(owner)] });
  await until("the dependent is gone", async () => (await names(kube)).length === 0, 60_000);
  const kept = await kube.find(resources.configMaps, { namespace: "kube-system", name: "owner" });
  expect(kept?.metadata.uid).toBe(owner.metadata.uid);
});

test("an owner of a name that another object has now is absent", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _collector = startGarbageCollector(deps);
  const owner = await make(kube, "owner");
  await make(kube, "dependent", { owners: [referenceTo(owner, { uid: "another" })] });
  await until("the dependent is gone", async () => (await names(kube)).join() === "owner", 60_000);
});

test("five hundred dependents are deleted before their owner, however long one of them takes", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _collector = startGarbageCollector(deps);
  const owner = await make(kube, "owner");
  const owners = [referenceTo(owner)];
  await make(kube, "slow", { owners, finalizers: ["example.com/slow"] });
  for (let start = 0; start < 500; start += 50)
    await Promise.all(Array.from({ length: 50 }, (_, index) => make(kube, `d${start + index}`, { owners })));
  await kube.remove(
    resources.configMaps,
    { namespace: "default", name: "owner" },
    { propagation: "Foreground" },
  );
  await until("the others are gone", async () => (await names(kube)).length === 2, 100_000);
  expect((await names(kube)).toSorted()).toEqual(["owner", "slow"]);
  const patch = { metadata: { finalizers: null } };
  await kube.patch(resources.configMaps, { namespace: "default", name: "slow" }, patch, { type: "merge" });
  await until("all are gone", async () => (await names(kube)).length === 0, 60_000);
});
