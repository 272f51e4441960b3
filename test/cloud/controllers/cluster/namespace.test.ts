import { expect, test } from "bun:test";
import { builtinKinds } from "#cloud/kube-api/kinds";
import { resources } from "#cloud/kube-client";
import { startEndpointsController } from "#internal/cloud/controllers/endpoints/controller.ts";
import { namespacedTypes } from "#internal/cloud/controllers/cluster/namespace/contents.ts";
import { startNamespaceController } from "#internal/cloud/controllers/cluster/namespace/controller.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { KubeObject } from "#shared/kube";
import { smallPod, startCluster, until } from "#internal/test/cloud/controllers/cluster-harness.ts";

const gadgets = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "gadgets.example.org" },
  spec: {
    group: "example.org",
    scope: "Namespaced",
    names: { plural: "gadgets", singular: "gadget", kind: "Gadget", listKind: "GadgetList" },
    versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: { type: "object" } } }],
  },
};

test("a namespace gets its ServiceAccount and CA again when they are deleted, and is deleted with its contents", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _namespaces = startNamespaceController({ ...deps, caPem: "the CA" });
  await kube.create(resources.namespaces, {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "shop" },
  });
  const account = { name: "default", namespace: "shop" };
  const hasAccount = async (): Promise<boolean> =>
    (await kube.find(resources.serviceAccounts, account)) !== undefined;
  await until("account", hasAccount);
  const uid = (await kube.get(resources.serviceAccounts, account)).metadata.uid;
  await kube.remove(resources.serviceAccounts, account);
  await until("account again", async () => {
    const found = await kube.find(resources.serviceAccounts, account);
    return found !== undefined && found.metadata.uid !== uid;
  });
  const ca = { name: "kube-root-ca.crt", namespace: "shop" };
  await until("CA", async () => (await kube.find(resources.configMaps, ca)) !== undefined);

  await kube.create(resources.crds, gadgets);
  const gadget = { group: "example.org", version: "v1", plural: "gadgets", kind: "Gadget", namespaced: true };
  const metadata = { name: "g", namespace: "shop" };
  await until("gadget", () =>
    kube.create(gadget, { apiVersion: "example.org/v1", kind: "Gadget", metadata }).then(
      () => true,
      () => false,
    ),
  );
  const pod = smallPod("p");
  await kube.create(resources.pods, {
    ...pod,
    metadata: { name: "p", namespace: "shop" },
    spec: { ...pod.spec, nodeName: "edge-1" },
  });
  await kube.remove(resources.namespaces, { name: "shop" });
  const podAt = { name: "p", namespace: "shop" };
  await until("pod is being deleted", async () => {
    const found = await kube.find(resources.pods, podAt);
    return found?.metadata.deletionTimestamp !== undefined;
  });
  expect(await kube.find(resources.namespaces, { name: "shop" })).toBeDefined();
  await kube.remove(resources.pods, podAt, { graceSeconds: 0 });
  await until("namespace is gone", async () => !(await kube.find(resources.namespaces, { name: "shop" })));
  expect((await kube.list(gadget)).items).toEqual([]);
});

test("the contents of a namespace are objects of all kinds that it can have, owners first", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const types = await namespacedTypes(cluster.kube);
  const groups = types.map(({ group, plural }) => `${group}/${plural}`);
  expect(new Set(groups).size).toBe(groups.length);
  for (const kind of builtinKinds().filter(
    (one) => one.namespaced && one.verbs.includes("create") && one.stored,
  ))
    expect(types.map(({ plural }) => plural)).toContain(kind.plural);
  const places = ["deployments", "replicasets", "pods", "configmaps", "events"].map((plural) =>
    types.findIndex((type) => type.plural === plural),
  );
  expect(places).toEqual(places.toSorted((a, b) => a - b));
});

test("Endpoints list the ready pods of a Service and are deleted with it", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _endpoints = startEndpointsController(deps);
  const at = { name: "web", namespace: "default" };
  const ports = [{ port: 80, targetPort: 8080 }];
  await kube.create(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: at,
    spec: { selector: { app: "web" }, ports },
  });
  const pod = smallPod("web-1");
  await kube.create(resources.pods, {
    ...pod,
    metadata: { ...pod.metadata, labels: { app: "web" } },
    spec: { ...pod.spec, nodeName: "edge-1" },
  });
  const status = { phase: "Running", podIP: "10.1.1.1", conditions: [{ type: "Ready", status: "True" }] };
  const podAt = { name: "web-1", namespace: "default" };
  await kube.patch(resources.pods, podAt, { status }, { type: "strategic", subresource: "status" });
  const type = { group: "", version: "v1", plural: "endpoints", kind: "Endpoints", namespaced: true };
  await until("listed", async () => {
    const found = await kube.find<KubeObject>(type, at);
    return JSON.stringify(found?.["subsets"] ?? "").includes('"ip":"10.1.1.1"');
  });
  const found = await kube.get(type, at);
  expect(found["subsets"]).toMatchObject([{ ports: [{ port: 8080, protocol: "TCP" }] }]);
  await kube.remove(resources.services, at);
  await until("gone", async () => !(await kube.find(type, at)));
});
