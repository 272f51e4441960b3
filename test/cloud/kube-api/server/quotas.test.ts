import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* "Resource Quotas" and "Limit Ranges" of the Kubernetes documentation. */

const dir = tempDir("quotas");
let server: TestServer;
let namespace = "";
let number = 0;
const inNamespace = (plural: string): string => `/api/v1/namespaces/${namespace}/${plural}`;
const create = (plural: string, name: string, more: object): Promise<Answer> =>
  server.call("POST", inNamespace(plural), { metadata: { name }, ...more });
const container = (name: string, requests: object = {}, limits: object = {}): object => ({
  name,
  image: "busybox:1",
  resources: { requests, limits },
});
const pod = (name: string, requests: object = {}, more: object = {}): Promise<Answer> =>
  create("pods", name, { spec: { containers: [container("c", requests)], ...more } });
const quota = (name: string, hard: object, more: object = {}): Promise<Answer> =>
  create("resourcequotas", name, { spec: { hard, ...more } });

/** The use that a quota says, once it is as expected. */
async function expectUsed(name: string, used: object): Promise<void> {
  const path = `${inNamespace("resourcequotas")}?watch=1&fieldSelector=metadata.name%3D${name}`;
  const stop = new AbortController();
  const { body } = await server.stream(path, stop.signal);
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of body ?? []) {
    text += decoder.decode(piece, { stream: true });
    const found = text
      .split("\n")
      .slice(0, -1)
      .some((line) => line !== "" && Bun.deepEquals(readUsed(line), used));
    if (found) break;
  }
  stop.abort();
}

function readUsed(line: string): unknown {
  return (JSON.parse(line) as { object: { status?: { used?: unknown } } }).object.status?.used;
}

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
beforeEach(async () => {
  number += 1;
  namespace = `quota-${number}`;
  await server.call("POST", "/api/v1/namespaces", { metadata: { name: namespace } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

describe("a ResourceQuota", () => {
  test("counts what is there when it is created", async () => {
    await create("configmaps", "one", {});
    await pod("p", { cpu: "250m" });
    const { body } = await quota("q", { configmaps: "5", pods: "2", "requests.cpu": "1" });
    expect(body["status"] as unknown).toEqual({
      hard: { configmaps: "5", pods: "2", "requests.cpu": "1" },
      used: { configmaps: "1", pods: "1", "requests.cpu": "250m" },
    });
  });

  test("refuses what exceeds it, and gives back what is deleted", async () => {
    await quota("q", { "requests.cpu": "1", pods: "5" });
    expect((await pod("a", { cpu: "600m" })).status).toBe(201);
    expect(await pod("b", { cpu: "500m" })).toMatchObject({
      status: 403,
      body: {
        message:
          'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=500m, used: requests.cpu=600m, limited: requests.cpu=1',
      },
    });
    await server.call("DELETE", `${inNamespace("pods")}/a`);
    await expectUsed("q", { "requests.cpu": "0", pods: "0" });
    expect((await pod("b", { cpu: "500m" })).status).toBe(201);
  });

  test("wants the requests that it bounds to be named", async () => {
    await quota("q", { "requests.memory": "1Gi" });
    expect(await pod("a")).toMatchObject({
      status: 403,
      body: { message: 'pods "a" is forbidden: failed quota: q: must specify requests.memory for: c' },
    });
  });

  test("is not exceeded by parallel creates", async () => {
    await quota("q", { configmaps: "10" });
    const all = await Promise.all(
      Array.from({ length: 64 }, (_, index) => create("configmaps", `m-${index}`, {})),
    );
    expect(all.filter(({ status }) => status === 201).length).toBe(10);
    expect(all.filter(({ status }) => status === 403).length).toBe(54);
    await expectUsed("q", { configmaps: "10" });
  });

  test("does not charge a dry run", async () => {
    await quota("q", { configmaps: "1" });
    await server.call("POST", `${inNamespace("configmaps")}?dryRun=All`, { metadata: { name: "dry" } });
    expect((await create("configmaps", "real", {})).status).toBe(201);
  });

  test("gives back the place of a pod that has ended", async () => {
    await quota("q", { pods: "1" });
    await pod("a");
    const merge = { "content-type": "application/merge-patch+json" };
    await server.call("PATCH", `${inNamespace("pods")}/a/status`, { status: { phase: "Succeeded" } }, merge);
    await expectUsed("q", { pods: "0" });
    expect((await pod("b")).status).toBe(201);
  });

  test("with scopes counts the pods in them alone", async () => {
    await quota("best", { pods: "1" }, { scopes: ["BestEffort"] });
    await quota("ending", { pods: "1" }, { scopes: ["Terminating"] });
    expect((await pod("plain", { cpu: "1" })).status).toBe(201);
    expect((await pod("best-effort")).status).toBe(201);
    expect((await pod("ends", { cpu: "1" }, { activeDeadlineSeconds: 60 })).status).toBe(201);
    expect((await pod("another")).body["message"]).toEqual(expect.stringContaining("exceeded quota: best"));
    await expectUsed("ending", { pods: "1" });
  });

  test("counts claims of a class, services of a type and objects of any kind", async () => {
    const hard = {
      "requests.storage": "10Gi",
      "fast.storageclass.storage.k8s.io/requests.storage": "5Gi",
      "services.nodeports": "1",
      "count/deployments.apps": "1",
    };
    await quota("q", hard);
    const resources = { requests: { storage: "4Gi" } };
    const spec = { accessModes: ["ReadWriteOnce"], storageClassName: "fast", resources };
    expect((await create("persistentvolumeclaims", "a", { spec })).status).toBe(201);
    expect((await create("persistentvolumeclaims", "b", { spec })).status).toBe(403);
    const ports = [{ port: 80 }];
    expect((await create("services", "a", { spec: { type: "NodePort", ports } })).status).toBe(201);
    expect((await create("services", "b", { spec: { type: "NodePort", ports } })).status).toBe(403);
    const deployment = (name: string): Promise<Answer> =>
      server.call("POST", `/apis/apps/v1/namespaces/${namespace}/deployments`, {
        metadata: { name },
        spec: {
          selector: { matchLabels: { a: "b" } },
          template: { metadata: { labels: { a: "b" } }, spec: { containers: [container("c")] } },
        },
      });
    expect((await deployment("a")).status).toBe(201);
    expect((await deployment("b")).status).toBe(403);
  });

  test("whose status is changed says again what is used", async () => {
    const { body } = await quota("q", { configmaps: "3" });
    const status = { hard: { configmaps: "9" }, used: { configmaps: "7" } };
    const changed = await server.call("PUT", `${inNamespace("resourcequotas")}/q/status`, {
      ...body,
      status,
    });
    expect(changed).toMatchObject({ status: 200, body: { status } });
    await expectUsed("q", { configmaps: "0" });
  });
});

describe("a LimitRange", () => {
  const limits = (item: object): Promise<Answer> =>
    create("limitranges", "limits", { spec: { limits: [item] } });

  test("gives containers the requests and limits that they lack", async () => {
    await limits({
      type: "Container",
      default: { cpu: "500m", memory: "1Gi" },
      defaultRequest: { cpu: "100m" },
    });
    const { body } = await pod("p", { memory: "128Mi" });
    expect(body["spec"]).toMatchObject({
      containers: [
        { resources: { limits: { cpu: "500m", memory: "1Gi" }, requests: { cpu: "100m", memory: "128Mi" } } },
      ],
    });
    expect(body["status"]).toMatchObject({ qosClass: "Burstable" });
  });

  test("takes its defaults from its maximum", async () => {
    const { body } = await limits({ type: "Container", max: { cpu: "1" }, min: { cpu: "50m" } });
    expect(body["spec"]).toMatchObject({ limits: [{ default: { cpu: "1" }, defaultRequest: { cpu: "1" } }] });
  });

  test("refuses a pod outside of its bounds, naming each", async () => {
    await limits({
      type: "Container",
      min: { cpu: "100m" },
      max: { cpu: "1" },
      maxLimitRequestRatio: { cpu: "2" },
    });
    const spec = { containers: [container("c", { cpu: "50m" }, { cpu: "2" })] };
    expect(await create("pods", "p", { spec })).toMatchObject({
      status: 403,
      body: {
        message:
          'pods "p" is forbidden: [minimum cpu usage per Container is 100m, but request is 50m, maximum cpu usage per Container is 1, but limit is 2, cpu max limit to request ratio per Container is 2, but provided ratio is 40.000000]',
      },
    });
  });

  test("bounds the sum of a pod and the size of a claim", async () => {
    await create("limitranges", "limits", {
      spec: {
        limits: [
          { type: "Pod", max: { memory: "1Gi" } },
          { type: "PersistentVolumeClaim", min: { storage: "1Gi" } },
        ],
      },
    });
    const half = container("a", {}, { memory: "600Mi" });
    const spec = { containers: [half, { ...half, name: "b" }] };
    expect((await create("pods", "p", { spec })).body["message"]).toEqual(
      expect.stringContaining("maximum memory usage per Pod is 1Gi, but limit is 1200Mi"),
    );
    const claim = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "500Mi" } } };
    expect((await create("persistentvolumeclaims", "c", { spec: claim })).body["message"]).toEqual(
      expect.stringContaining("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"),
    );
  });
});

describe("a new pod", () => {
  test("gets the secrets of its account, and no token that the account declines", async () => {
    const imagePullSecrets = [{ name: "registry" }];
    await create("serviceaccounts", "quiet", { automountServiceAccountToken: false, imagePullSecrets });
    const { body } = await pod("p", {}, { serviceAccountName: "quiet" });
    expect(body["spec"]).toMatchObject({ imagePullSecrets });
    expect(body["spec"]?.["volumes"]).toBeUndefined();
    const asked = await pod("q", {}, { serviceAccountName: "quiet", automountServiceAccountToken: true });
    expect(asked.body["spec"]).toMatchObject({ volumes: [{ projected: {} }] });
  });

  test("is refused when its account is not there, and stored right after its namespace", async () => {
    expect(await pod("p", {}, { serviceAccountName: "nobody" })).toMatchObject({
      status: 403,
      body: {
        message: `pods "p" is forbidden: error looking up service account ${namespace}/nobody: serviceaccount "nobody" not found`,
      },
    });
    const config = { "kubernetes.io/config.mirror": "hash" };
    const mirror = {
      metadata: { name: "mirror", annotations: config },
      spec: { nodeName: "n", containers: [container("a")] },
    };
    expect((await create("pods", "mirror", mirror)).status).toBe(201);
    const path = "/api/v1/namespaces";
    expect((await server.call("POST", path, { metadata: { name: "fresh" } })).status).toBe(201);
    const spec = { containers: [container("a")] };
    const first = await server.call("POST", `${path}/fresh/pods`, { metadata: { name: "p" }, spec });
    expect(first).toMatchObject({ status: 201, body: { spec: { serviceAccountName: "default" } } });
  });

  test("gets the priority of its class, and one of an unknown class is refused", async () => {
    const path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    const high = { metadata: { name: "high" }, value: 1000, preemptionPolicy: "Never" };
    await server.call("POST", path, high);
    expect((await pod("p", {}, { priorityClassName: "high" })).body["spec"]).toMatchObject({
      priority: 1000,
      preemptionPolicy: "Never",
    });
    expect(await pod("q", {}, { priorityClassName: "nope" })).toMatchObject({
      status: 403,
      body: { message: 'pods "q" is forbidden: no PriorityClass with name nope was found' },
    });
  });

  test("gets the overhead and the nodes of its runtime class", async () => {
    await server.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
      metadata: { name: "sandbox" },
      handler: "sandbox",
      overhead: { podFixed: { memory: "64Mi" } },
      scheduling: { nodeSelector: { sandbox: "yes" } },
    });
    expect((await pod("p", {}, { runtimeClassName: "sandbox" })).body["spec"]).toMatchObject({
      overhead: { memory: "64Mi" },
      nodeSelector: { sandbox: "yes" },
    });
    expect((await pod("q", {}, { runtimeClassName: "nope" })).status).toBe(403);
  });
});
