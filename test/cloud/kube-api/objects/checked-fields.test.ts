import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* What pkg/apis/…/validation and the admission plugins of kube-apiserver refuse, with their texts. */

const dir = tempDir("checked-fields");
let server: TestServer;
const core = "/api/v1/namespaces/default";
const merge = { "content-type": "application/merge-patch+json" };
const patch = (path: string, body: object): Promise<Answer> => server.call("PATCH", path, body, merge);
const messageOf = (answer: Answer): unknown => answer.body["message"];

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

describe("a balanced Service whose traffic stays on its node", () => {
  const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", ports: [{ port: 80 }] };
  const create = (name: string, more: object = {}): Promise<Answer> =>
    server.call("POST", `${core}/services`, { metadata: { name }, spec: { ...spec, ...more } });
  const portOf = (answer: Answer): number | undefined =>
    answer.body["spec"]?.["healthCheckNodePort"] as unknown as number | undefined;

  test("gets a port for health checks, keeps it, and gives it back", async () => {
    const created = await create("local");
    const port = portOf(created);
    expect(port).toBeWithin(30_000, 32_768);
    const { body } = created;
    const { healthCheckNodePort: _port, ...rest } = { ...body["spec"] };
    expect(portOf(await server.call("PUT", `${core}/services/local`, { ...body, spec: rest }))).toBe(port);
    const changed = await patch(`${core}/services/local`, { spec: { healthCheckNodePort: 30_001 } });
    expect(messageOf(changed)).toContain("cannot change healthCheckNodePort on loadBalancer service");
    expect(messageOf(await create("other", { healthCheckNodePort: port }))).toContain(
      `failed to allocate requested HealthCheck NodePort ${port}: provided port is already allocated`,
    );
    const moved = await patch(`${core}/services/local`, { spec: { externalTrafficPolicy: "Cluster" } });
    expect([moved.status, portOf(moved)]).toEqual([200, undefined]);
    expect((await create("other", { healthCheckNodePort: port })).status).toBe(201);
  });
});

describe("a claim", () => {
  const claims = `${core}/persistentvolumeclaims`;
  const size = (storage: string): object => ({ spec: { resources: { requests: { storage } } } });
  const expandable = "/apis/storage.k8s.io/v1/storageclasses";

  test("grows when it is bound and its class allows it, and never shrinks", async () => {
    await server.call("POST", expandable, {
      metadata: { name: "grows" },
      provisioner: "example.com/p",
      allowVolumeExpansion: true,
    });
    for (const storageClassName of ["grows", "stays"])
      await server.call("POST", claims, {
        metadata: { name: storageClassName },
        spec: {
          storageClassName,
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: "1Gi" } },
        },
      });
    expect(messageOf(await patch(`${claims}/grows`, size("2Gi")))).toContain(
      "spec is immutable after creation",
    );
    expect((await patch(`${claims}/grows`, size("1024Mi"))).status).toBe(200);
    for (const name of ["grows", "stays"])
      await patch(`${claims}/${name}/status`, { status: { phase: "Bound" } });
    expect((await patch(`${claims}/grows`, size("2Gi"))).status).toBe(200);
    expect(messageOf(await patch(`${claims}/grows`, size("1Gi")))).toContain(
      "field can not be less than previous value",
    );
    expect(await patch(`${claims}/stays`, size("2Gi"))).toMatchObject({
      status: 403,
      body: {
        message: expect.stringContaining(
          "the storageclass that provisions the pvc must support resize",
        ) as unknown,
      },
    });
  });
});

describe("a status", () => {
  const labels = { app: "counted" };
  const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } };
  const selected = { selector: { matchLabels: labels }, template };
  const jobTemplate = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "i" }] } };

  test.each([
    [
      "apps/v1/namespaces/default/replicasets",
      selected,
      { replicas: 1, readyReplicas: 2 },
      "status.readyReplicas",
    ],
    [
      "apps/v1/namespaces/default/replicasets",
      selected,
      { replicas: 2, readyReplicas: 1, availableReplicas: 2 },
      "status.availableReplicas",
    ],
    [
      "apps/v1/namespaces/default/statefulsets",
      { ...selected, serviceName: "s" },
      { replicas: 1, currentReplicas: 2 },
      "status.currentReplicas",
    ],
    [
      "apps/v1/namespaces/default/daemonsets",
      selected,
      { numberReady: -1, currentNumberScheduled: 0, desiredNumberScheduled: 0, numberMisscheduled: 0 },
      "status.numberReady",
    ],
    ["batch/v1/namespaces/default/jobs", { template: jobTemplate }, { active: -1 }, "status.active"],
    [
      "policy/v1/namespaces/default/poddisruptionbudgets",
      { selector: {} },
      { currentHealthy: -1, desiredHealthy: 0, disruptionsAllowed: 0, expectedPods: 0 },
      "status.currentHealthy",
    ],
  ])("of %s cannot contradict itself", async (place, spec, status, field) => {
    const path = `/apis/${place}`;
    const { body } = await server.call("POST", path, { metadata: { generateName: "counted-" }, spec });
    const name = body["metadata"]?.["name"] as unknown as string;
    expect(await patch(`${path}/${name}/status`, { status })).toMatchObject({
      status: 422,
      body: { details: { causes: [{ field }] } },
    });
  });

  test("of a Node has no negative amounts", async () => {
    // What is allocatable is the capacity, unless somebody says otherwise.
    const causes = [{ field: "status.capacity.cpu" }, { field: "status.allocatable.cpu" }];
    const refused = { status: 422, body: { details: { causes } } };
    const metadata = { name: "negative" };
    const status = { capacity: { cpu: "-1" } };
    expect(await server.call("POST", "/api/v1/nodes", { metadata, status })).toMatchObject(refused);
    await server.call("POST", "/api/v1/nodes", { metadata });
    expect(await patch("/api/v1/nodes/negative/status", { status })).toMatchObject(refused);
  });
});

describe("a pod", () => {
  const create = (name: string, more: object): Promise<Answer> =>
    server.call("POST", `${core}/pods`, {
      metadata: { name },
      spec: { containers: [{ name: "c", image: "i" }], ...more },
    });

  test("has the preemption policy of its class", async () => {
    expect(await create("never", { preemptionPolicy: "Never" })).toMatchObject({
      status: 403,
      body: {
        message: expect.stringContaining(
          "the string value of PreemptionPolicy (Never) must not be provided",
        ) as unknown,
      },
    });
    expect((await create("default", { preemptionPolicy: "PreemptLowerPriority" })).status).toBe(201);
  });

  test("has the overhead and the nodes of its runtime class", async () => {
    await server.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
      metadata: { name: "heavy" },
      handler: "h",
      overhead: { podFixed: { memory: "1Gi" } },
      scheduling: { nodeSelector: { kind: "heavy" } },
    });
    const none = await create("none", { overhead: { memory: "1Gi" } });
    expect(messageOf(none)).toContain("Pod Overhead set without corresponding RuntimeClass defined Overhead");
    const runtimeClassName = "heavy";
    const other = await create("other", { runtimeClassName, overhead: { memory: "2Gi" } });
    expect(messageOf(other)).toContain("Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    const elsewhere = await create("elsewhere", { runtimeClassName, nodeSelector: { kind: "light" } });
    expect(messageOf(elsewhere)).toContain("conflict: runtimeClass.scheduling.nodeSelector[kind] = heavy");
    expect((await create("same", { runtimeClassName, overhead: { memory: "1024Mi" } })).status).toBe(201);
  });
});

test("a ClusterRoleBinding binds no Role", async () => {
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "r" };
  const body = { metadata: { name: "r" }, roleRef };
  const path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
  expect(messageOf(await server.call("POST", path, body))).toContain(
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
  );
});

test("a Node has ranges of addresses for its pods", async () => {
  const body = { metadata: { name: "ranged" }, spec: { podCIDR: "10.0.0.0" } };
  expect(messageOf(await server.call("POST", "/api/v1/nodes", body))).toContain(
    'spec.podCIDRs[0]: Invalid value: "10.0.0.0": must be a valid CIDR value',
  );
});

test("a Namespace that is too large leaves no account behind", async () => {
  const name = "large";
  const finalizers = Array.from(
    { length: 7000 },
    (_, at) => `${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}/${"d".repeat(50)}${at}`,
  );
  const refused = await server.call("POST", "/api/v1/namespaces", { metadata: { name, finalizers } });
  expect(refused).toMatchObject({ status: 413, body: { reason: "RequestEntityTooLarge" } });
  const accounts = await server.call(
    "GET",
    "/api/v1/serviceaccounts?fieldSelector=metadata.namespace%3Dlarge",
  );
  expect(accounts).toMatchObject({ status: 200, body: { items: [] } });
  expect((await server.call("POST", "/api/v1/namespaces", { metadata: { name } })).status).toBe(201);
  const account = await server.call("GET", `/api/v1/namespaces/${name}/serviceaccounts/default`);
  expect(account.status).toBe(200);
});
