import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { contentDigest, type KubeObject, type Pod } from "#shared/kube";
import { pod, putConfig, startCloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";

test("edge controller sends what a pod reads before the pod, and takes it with the last pod that reads it", async () => {
  await using cloud = await startCloud(putConfig);
  cloud.kube.put(resources.pods, pod("web", "e1"));
  cloud.kube.put(resources.pods, pod("other", "c1"));
  await cloud.settle();
  const inserted = cloud.sent.at(-1);
  expect(cloud.texts().toSorted()).toEqual([
    "insert default/configmap/page",
    "insert default/pod/web",
    "insert default/secret/key",
  ]);
  expect(inserted).toMatchObject({
    header: { resourceversion: expect.any(String) },
    route: { source: "edgecontroller", group: "resource", resource: "default/pod/web" },
    content: { apiVersion: "v1", kind: "Pod", metadata: { uid: "uid-web" } },
  });

  await cloud.kube.remove(resources.pods, { namespace: "default", name: "web" }, { graceSeconds: 0 });
  await cloud.settle();
  expect(cloud.texts()[0]).toBe("delete default/pod/web");
  expect(cloud.sent.slice(-2).map(({ route }) => route.operation)).toEqual(["delete", "delete"]);
});

test("edge controller sends a pod again when it changes, not when its status does", async () => {
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, pod("web", "e1")));
  cloud.kube.put(resources.pods, { ...pod("web", "e1"), status: { phase: "Running" } });
  await cloud.settle();
  expect(cloud.texts()).toEqual([]);

  await cloud.kube.remove(resources.pods, { namespace: "default", name: "web" });
  await cloud.settle();
  expect(cloud.texts()).toEqual(["update default/pod/web"]);
});

test("edge controller sends a changed config map to the nodes that read it alone", async () => {
  await using cloud = await startCloud((kube) => {
    putConfig(kube);
    kube.put(resources.pods, pod("web", "e1"));
  });
  const at = { namespace: "default" };
  cloud.kube.put(resources.configMaps, { metadata: { ...at, name: "page" }, data: { a: "2" } });
  cloud.kube.put(resources.configMaps, { metadata: { ...at, name: "unread" }, data: {} });
  await cloud.kube.remove(resources.secrets, { ...at, name: "key" });
  await cloud.settle();

  expect(cloud.texts()).toEqual(["update default/configmap/page", "delete default/secret/key"]);
});

test("edge controller repairs what a node missed when it connects", async () => {
  await using cloud = await startCloud((kube) => {
    putConfig(kube);
    kube.put(resources.pods, pod("web", "e1"));
  });
  const config = cloud.kube.peek<KubeObject>(resources.configMaps, "default/page");
  const { uid = "", resourceVersion = "" } = config?.metadata ?? {};
  const at = { apiVersion: "v1", namespace: "default" };
  cloud.delivered.push(
    { ...at, kind: "ConfigMap", name: "page", uid, resourceVersion },
    { ...at, kind: "Pod", name: "web", uid: "uid-before", resourceVersion: "5" },
    {
      apiVersion: "devices.kubeedge.io/v1beta1",
      namespace: "default",
      kind: "Device",
      name: "d",
      uid: "d",
      resourceVersion: "5",
    },
  );
  await cloud.connect();

  expect(cloud.texts()).toEqual([
    "delete default/pod/web",
    "insert default/secret/key",
    "insert default/pod/web",
  ]);
  expect((cloud.sent.at(0)?.content as Pod | undefined)?.metadata).toEqual({
    namespace: "default",
    name: "web",
    uid: "uid-before",
    resourceVersion: "5",
  });
});

test("edge controller does not send a pod again whose status alone changed since it was acknowledged", async () => {
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, pod("web", "e1")));
  const stored = cloud.kube.peek<Pod>(resources.pods, "default/web");
  const digest = contentDigest(stored ?? pod("web", "e1"));
  const at = { apiVersion: "v1", kind: "Pod", namespace: "default", name: "web", uid: "uid-web" };
  cloud.delivered.push({ ...at, resourceVersion: "5", digest });
  await cloud.connect();

  expect(cloud.texts()).toEqual([]);
});

test("edge controller closes the session of a node that was deleted", async () => {
  await using cloud = await startCloud();
  await cloud.kube.remove(resources.nodes, { name: "e1" });
  await cloud.settle();

  expect(cloud.closed).toEqual(["e1"]);
});

const service = (name: string, namespace = "default"): KubeObject => ({
  metadata: { name, namespace, uid: `uid-${namespace}-${name}` },
  spec: { clusterIP: "10.0.0.11", ports: [{ port: 80, protocol: "TCP" }] },
});

test("a pod is delivered with the Services of its namespace, and not again when they change", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.services, service("web"));
    kube.put(resources.services, service("other", "elsewhere"));
  });
  cloud.kube.put(resources.pods, pod("web", "e1"));
  await cloud.settle();
  const kubeedgeServices = [
    { name: "web", ip: "10.0.0.11", ports: [{ port: 80, name: "", protocol: "TCP" }] },
  ];
  expect(cloud.sent.at(-1)).toMatchObject({ content: { kind: "Pod", kubeedgeServices } });
  cloud.kube.put(resources.services, service("later"));
  await cloud.settle();
  expect(cloud.texts()).toEqual(["insert default/pod/web"]);
});

test("the Services that a pod was delivered with take no part in the digest of its content", () => {
  const plain = pod("web", "e1");
  const told = { ...plain, kubeedgeServices: [{ name: "web", ip: "10.0.0.11", ports: [] }] };
  expect(contentDigest(told)).toBe(contentDigest(plain));
});

test("a pod with readiness gates is delivered again when one of their conditions changes, and not for other conditions", async () => {
  await using cloud = await startCloud();
  const plain = pod("web", "e1");
  const gated = (...conditions: [string, "True" | "False"][]): Pod => ({
    ...plain,
    spec: { ...plain.spec, readinessGates: [{ conditionType: "example.com/a" }] },
    status: { conditions: conditions.map(([type, status]) => ({ type, status })) },
  });
  cloud.kube.put(resources.pods, gated());
  await cloud.settle();
  cloud.kube.put(resources.pods, gated(["Ready", "False"]));
  await cloud.settle();
  expect(cloud.texts()).toEqual(["insert default/pod/web"]);
  cloud.kube.put(resources.pods, gated(["Ready", "False"], ["example.com/a", "True"]));
  await cloud.settle();
  expect(cloud.texts()).toEqual(["update default/pod/web"]);
});

test("the conditions of readiness gates take part in the digest of a pod, others do not", () => {
  const readinessGates = [{ conditionType: "example.com/a" }];
  const plain = pod("web", "e1");
  const gated = (type: string): Pod => ({
    ...plain,
    kind: "Pod",
    spec: { ...plain.spec, readinessGates },
    status: { conditions: [{ type, status: "True" }] },
  });
  expect(contentDigest(gated("example.com/a"))).not.toBe(contentDigest(gated("Ready")));
  expect(contentDigest(gated("PodScheduled"))).toBe(contentDigest(gated("Ready")));
});

test("a pod is delivered with the handler of its RuntimeClass, which takes no part in the digest of its content", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.runtimeClasses, { metadata: { name: "vm", uid: "uid-vm" }, handler: "kata" });
  });
  const withClass = (name: string, runtimeClassName: string): Pod => {
    const plain = pod(name, "e1");
    return { ...plain, spec: { ...plain.spec, runtimeClassName } };
  };
  cloud.kube.put(resources.pods, withClass("web", "vm"));
  await cloud.settle();
  expect(cloud.sent.at(-1)).toMatchObject({ content: { kubeedgeRuntimeHandler: "kata" } });
  cloud.kube.put(resources.pods, withClass("other", "none"));
  await cloud.settle();
  expect(cloud.sent.at(-1)).toMatchObject({ content: { kubeedgeRuntimeHandler: "" } });
  const told = { ...withClass("web", "vm"), kubeedgeRuntimeHandler: "kata" };
  expect(contentDigest(told)).toBe(contentDigest(withClass("web", "vm")));
});
