import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { UnavailableError } from "#shared/errors";
import type { KubeObject, Lease, Pod } from "#shared/kube";
import { pod, putConfig, startCloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";

const node = { metadata: { name: "e1", labels: { room: "hall" } }, spec: {}, status: {} };

test("edge controller answers a second registration as the API does", async () => {
  await using cloud = await startCloud();
  expect(await cloud.ask("insert", "default/node/e1", node)).toEqual({
    Object: { metadata: { creationTimestamp: null } },
    Err: {
      ErrStatus: {
        metadata: {},
        status: "Failure",
        code: 409,
        reason: "AlreadyExists",
        message: 'nodes "e1" already exists',
      },
    },
  });
});

test("edge controller lets a node use nothing but its own objects", async () => {
  await using cloud = await startCloud((kube) => {
    putConfig(kube);
    kube.put(resources.pods, pod("theirs", "c1"));
  });
  const denied = { ErrStatus: expect.objectContaining({ code: 403, reason: "Forbidden" }) };
  expect(await cloud.ask("query", "default/secret/key")).toEqual(denied);
  expect(await cloud.ask("query", "default/serviceaccounttoken/runner", {})).toEqual(denied);
  expect(await cloud.ask("delete", "default/pod/theirs", { preconditions: { uid: "uid-theirs" } })).toEqual(
    denied,
  );
  expect(await cloud.ask("patch", "default/podpatch/theirs", '{"status":{}}')).toMatchObject({ Err: denied });
  const ofAnother = { node: "e1", name: "c1", content: {} };
  const answers = [
    await cloud.request({ ...ofAnother, verb: "query", resource: "Node", namespace: "default" }),
    await cloud.request({ ...ofAnother, verb: "update", resource: "Lease", namespace: "kube-node-lease" }),
  ];
  expect(answers).toMatchObject([denied, denied].map(({ ErrStatus: status }) => ({ ok: false, status })));
});

test("edge controller gives a node what its pods read", async () => {
  await using cloud = await startCloud((kube) => {
    putConfig(kube);
    const web = pod("web", "e1");
    web.spec.volumes?.push({
      name: "t",
      projected: { sources: [{ serviceAccountToken: { path: "token" } }] },
    });
    kube.put(resources.pods, web);
    kube.put(resources.serviceAccounts, { metadata: { name: "runner", namespace: "default" } });
  });
  expect(await cloud.ask("query", "default/configmap/page")).toMatchObject({
    kind: "ConfigMap",
    data: { a: "1" },
  });
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "web", uid: "uid-web" };
  const spec = { audiences: null, expirationSeconds: 3600, boundObjectRef };
  expect(await cloud.ask("query", "default/serviceaccounttoken/runner", { spec })).toMatchObject({
    spec: { audiences: [], expirationSeconds: 3600, boundObjectRef },
    status: { token: "token-of-default/runner" },
  });
});

test("a node is reported with the address of cloudcore where the API server is to dial that, and keeps its own", async () => {
  await using cloud = await startCloud(undefined, { kubelet: { address: "192.0.2.1", port: 10_003 } });
  const own = { type: "InternalIP", address: "10.0.0.5" };
  const hostname = { type: "Hostname", address: "e1" };
  const status = (addresses: unknown): string =>
    JSON.stringify({
      status: {
        addresses,
        daemonEndpoints: { kubeletEndpoint: { Port: 10_350 } },
        "$setElementOrder/addresses": [],
      },
    });
  const shown = {
    addresses: [
      { type: "InternalIP", address: "192.0.2.1" },
      { type: "ExternalIP", address: "10.0.0.5" },
      hostname,
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: 10_003 } },
  };
  await cloud.ask("patch", "default/nodepatch/e1", status([own, hostname]));
  expect(cloud.kube.peek(resources.nodes, "e1")?.["status"]).toEqual(shown);
  await cloud.ask("patch", "default/nodepatch/e1", JSON.stringify({ status: { phase: "Running" } }));
  expect(cloud.kube.peek(resources.nodes, "e1")?.["status"]).toEqual({ ...shown, phase: "Running" });
});

test("edge controller writes a node's status and labels", async () => {
  await using cloud = await startCloud();
  const patch = JSON.stringify({
    status: { nodeInfo: { architecture: "amd64" } },
    spec: { unschedulable: true },
  });
  expect(await cloud.ask("patch", "default/nodepatch/e1", patch)).toMatchObject({ Err: null });
  expect(await cloud.ask("update", "default/node/e1", node)).toBe("OK");

  const stored = cloud.kube.peek(resources.nodes, "e1");
  expect(stored?.["status"]).toEqual({ nodeInfo: { architecture: "amd64" } });
  expect(stored?.["spec"]).toBeUndefined();
  expect(stored?.metadata.labels).toEqual({ "node-role.kubernetes.io/edge": "", room: "hall" });
});

test.each([
  ["too old", { resourceVersion: "1" }],
  ["not said", {}],
])("edge controller renews a lease whose version is %s", async (_what, version) => {
  await using cloud = await startCloud();
  const resource = "kube-node-lease/lease/e1";
  const spec = { holderIdentity: "e1", renewTime: "2025-12-31T00:00:00.000000Z" };
  expect(await cloud.ask("insert", resource, { metadata: { name: "e1" }, spec })).toMatchObject({
    Err: null,
  });
  const renewed = { ...spec, renewTime: "2026-01-01T00:00:00.000000Z" };
  const stale = { metadata: { name: "e1", ...version }, spec: renewed };
  expect(await cloud.ask("update", resource, stale)).toMatchObject({ Err: null });

  const stored = cloud.kube.peek<Lease>(resources.leases, "kube-node-lease/e1");
  expect(stored?.spec).toEqual(renewed);
});

test("edge controller writes a pod's status, whose start time stays", async () => {
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, pod("web", "e1")));
  const say = (status: object): Promise<unknown> =>
    cloud.ask("patch", "default/podpatch/web", JSON.stringify({ metadata: { uid: "uid-web" }, status }));
  await say({ phase: "Pending", startTime: "2026-01-01T00:00:00Z" });
  await say({ phase: "Running", startTime: "2026-01-02T00:00:00Z" });

  expect(cloud.kube.peek<Pod>(resources.pods, "default/web")?.status).toEqual({
    phase: "Running",
    startTime: "2026-01-01T00:00:00Z",
  });
});

test("edge controller has a pod deleted that was replaced while its node was offline", async () => {
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, pod("web", "e1")));
  const patch = JSON.stringify({ metadata: { uid: "uid-before" }, status: { phase: "Running" } });
  expect(await cloud.ask("patch", "default/podpatch/web", patch)).toMatchObject({
    Err: { ErrStatus: { code: 404, reason: "NotFound" } },
  });

  expect(cloud.sent.find(({ route }) => route.operation === "delete")?.content).toMatchObject({
    metadata: { name: "web", uid: "uid-before" },
  });
});

test("edge controller deletes a pod its node has terminated, and answers OK when it is deleted already", async () => {
  const web = pod("web", "e1");
  web.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, web));
  const options = { gracePeriodSeconds: 0, preconditions: { uid: "uid-web" } };
  expect(await cloud.ask("delete", "default/pod/web", options)).toBe("OK");
  expect(await cloud.ask("delete", "default/pod/web", options)).toBe("OK");

  expect(cloud.kube.all(resources.pods)).toEqual([]);
});

test("edge controller keeps a pod that is not being deleted when its node reports its end, as after a restore", async () => {
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, pod("web", "e1")));
  const options = { gracePeriodSeconds: 0, preconditions: { uid: "uid-web" } };
  expect(await cloud.ask("delete", "default/pod/web", options)).toBe("OK");

  expect(cloud.kube.all(resources.pods).map(({ metadata }) => metadata.name)).toEqual(["web"]);
});

test("edge controller deletes a mirror pod at the request of its node, although no user deleted it", async () => {
  const mirror = pod("web", "e1");
  mirror.metadata.annotations = { "kubernetes.io/config.mirror": "hash" };
  await using cloud = await startCloud((kube) => void kube.put(resources.pods, mirror));
  const options = { gracePeriodSeconds: 0, preconditions: { uid: "uid-web" } };
  expect(await cloud.ask("delete", "default/pod/web", options)).toBe("OK");

  expect(cloud.kube.all(resources.pods)).toEqual([]);
});

test("edge controller counts an event that comes again", async () => {
  await using cloud = await startCloud();
  const involvedObject = { kind: "Node", name: "e1" };
  const event = (count: number): KubeObject => ({
    metadata: { name: "web.1" },
    involvedObject,
    count,
    message: "pulled",
  });
  expect(await cloud.ask("insert", "default/event/web.1", event(1))).toBe("OK");
  expect(await cloud.ask("insert", "default/event/web.1", event(2))).toBe("OK");

  expect(cloud.kube.peek(resources.events, "default/web.1")?.["count"]).toBe(2);
});

test("edge controller shows a node the volumes of its pods alone", async () => {
  const claims = {
    group: "",
    version: "v1",
    plural: "persistentvolumeclaims",
    kind: "PersistentVolumeClaim",
    namespaced: true,
  };
  const volumes = { ...claims, plural: "persistentvolumes", kind: "PersistentVolume", namespaced: false };
  await using cloud = await startCloud((kube) => {
    const used = {
      ...pod("web", "e1"),
      spec: {
        ...pod("web", "e1").spec,
        volumes: [{ name: "d", persistentVolumeClaim: { claimName: "disk" } }],
      },
    };
    kube.put(resources.pods, used);
    for (const name of ["disk", "other"]) {
      kube.put(claims, { metadata: { name, namespace: "default" } });
      kube.put(volumes, {
        metadata: { name: `pv-${name}` },
        spec: { claimRef: { namespace: "default", name } },
      });
    }
  });
  await cloud.settle();
  const answers = [
    await cloud.ask("query", "default/persistentvolumeclaim/disk"),
    await cloud.ask("query", "null/persistentvolume/pv-disk"),
    await cloud.ask("query", "default/persistentvolumeclaim/other"),
    await cloud.ask("query", "null/persistentvolume/pv-other"),
  ];
  expect(answers).toMatchObject([
    { kind: "PersistentVolumeClaim", metadata: { name: "disk" } },
    { kind: "PersistentVolume", metadata: { name: "pv-disk" } },
    { ErrStatus: { reason: "Forbidden", code: 403 } },
    { ErrStatus: { reason: "Forbidden", code: 403 } },
  ]);
});

test("edge controller mirrors pods a node runs by itself, when they use nothing of the cluster", async () => {
  await using cloud = await startCloud();
  const annotations = { "kubernetes.io/config.mirror": "abc" };
  const spec = { nodeName: "e1", containers: [{ name: "main", image: "x" }] };
  const make = (name: string, more: object = {}, marks: object = annotations): Promise<unknown> =>
    cloud.ask("insert", `default/pod/${name}`, {
      metadata: { name, annotations: marks },
      spec: { ...spec, ...more },
    });
  const answers = [
    await make("own"),
    await make("elsewhere", { nodeName: "c1" }),
    await make("plain", {}, {}),
    await make("secret", { imagePullSecrets: [{ name: "key" }] }),
  ];
  expect(answers).toMatchObject([
    { Object: { metadata: { name: "own" } }, Err: null },
    ...Array.from({ length: 3 }, () => ({ Err: { ErrStatus: { reason: "Forbidden" } } })),
  ]);
  expect(cloud.kube.all(resources.pods)).toHaveLength(1);
});

test("edge controller answers 503 while the API is unavailable, and refuses unknown requests", async () => {
  await using cloud = await startCloud();
  cloud.kube.fail(() => true, new UnavailableError("away", "the API is away"));
  expect(await cloud.ask("query", "default/node/e1")).toMatchObject({
    ErrStatus: { code: 503, reason: "ServiceUnavailable" },
  });
  expect(await cloud.ask("query", "default/nonsense/e1")).toMatchObject({ ErrStatus: { code: 400 } });
});
