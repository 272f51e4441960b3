import { afterAll, beforeAll, expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import {
  startTestServer,
  textAt,
  type Answer,
  type Body,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";

const dir = tempDir("apiserver");
let server: TestServer;
const call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
): Promise<Answer> => server.call(method, path, body, headers);

const maps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string, more: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...more },
  data: { k: "v" },
});
const pod = (name: string, spec: object = {}, labels: object = {}) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, labels },
  spec: { containers: [{ name: "c", image: "busybox:1" }], ...spec },
});
const pods = "/api/v1/namespaces/default/pods";

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("create answers 201 with identity, a second one 409", async () => {
  const first = await call("POST", maps, configMap("one"));
  expect(first).toMatchObject({
    status: 201,
    body: { metadata: { name: "one", namespace: "default", uid: expect.any(String) } },
  });
  expect(await call("POST", maps, configMap("one"))).toMatchObject({
    status: 409,
    body: { reason: "AlreadyExists", message: 'configmaps "one" already exists' },
  });
});

test.each([
  ["/readyz?verbose", 200, "[+]ping ok\n[+]database ok\nreadyz check passed\n"],
  ["/healthz?verbose=true", 200, "[+]ping ok\nhealthz check passed\n"],
  [
    "/readyz?verbose&exclude=database&exclude=nope",
    200,
    '[+]ping ok\n[+]database excluded: ok\nwarn: some health checks cannot be excluded: no matches for "nope"\nreadyz check passed\n',
  ],
  ["/readyz?exclude=nope", 200, "ok"],
  ["/readyz/etcd", 200, "ok"],
  ["/livez/ping", 200, "ok"],
  ["/healthz/nope", 404, "404 page not found\n"],
])("health at %s is answered with %d and its checks", async (path, status, text) => {
  expect(await call("GET", path)).toMatchObject({ status, body: { text } });
});

test("the root lists what is served, and documents are for reading alone", async () => {
  const { body } = await call("GET", "/");
  expect(body).toMatchObject({
    paths: expect.arrayContaining(["/api/v1", "/apis/apps", "/apis/apps/v1", "/readyz", "/version"]),
  });
  for (const path of ["/version", "/api/v1", "/apis/apps/v1"])
    expect(await call("POST", path, {})).toMatchObject({ status: 405, body: { reason: "MethodNotAllowed" } });
});

test("the version names a commit in hexadecimal, as kubectl's older output is read", async () => {
  const { status, body } = await call("GET", "/version");
  expect(status).toBe(200);
  expect(textAt(body, "gitCommit")).toMatch(/^[0-9a-f]+$/);
  expect(textAt(body, "gitVersion")).toMatch(/^v\d\.\d+\.[\d\w.+-]+$/);
  expect([textAt(body, "major"), textAt(body, "minor")]).toEqual(["1", "32"]);
});

test("an update that changes nothing keeps the resourceVersion", async () => {
  const { body } = await call("POST", maps, configMap("same"));
  const again = await call("PUT", `${maps}/same`, configMap("same"));
  expect(again.body.metadata?.["resourceVersion"]).toBe(body.metadata?.["resourceVersion"]);
});

test("only one of many updates with the same resourceVersion succeeds", async () => {
  const { body } = await call("POST", maps, configMap("race"));
  const tries = Array.from({ length: 10 }, (_, number) =>
    call("PUT", `${maps}/race`, { ...body, data: { k: String(number) } }),
  );
  const statuses = (await Promise.all(tries)).map(({ status }) => status).sort((a, b) => a - b);
  expect(statuses).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
});

test.each([
  ["storage.k8s.io/v1/storageclasses", { kind: "StorageClass", provisioner: "example.org/p" }],
  ["storage.k8s.io/v1/csidrivers", { kind: "CSIDriver", spec: {} }],
])("deletion of one of %s answers with the object, as typed clients expect", async (path, object) => {
  const body = { apiVersion: "storage.k8s.io/v1", metadata: { name: "typed" }, ...object };
  expect((await call("POST", `/apis/${path}`, body)).status).toBe(201);
  expect(await call("DELETE", `/apis/${path}/typed`)).toMatchObject({ status: 200, body });
});

test("a body may be YAML", async () => {
  const yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: v\n";
  const created = await call("POST", maps, yaml, { "content-type": "application/yaml" });
  expect(created).toMatchObject({ status: 201, body: { data: { k: "v" } } });
});

test("an unknown field is refused with Strict, and returned as a warning otherwise", async () => {
  const body = { ...configMap("odd"), dataa: {} };
  expect(await call("POST", `${maps}?fieldValidation=Strict`, body)).toMatchObject({ status: 400 });
  const warned = await call("POST", `${maps}?fieldValidation=Warn`, body);
  expect([warned.status, warned.headers.get("warning")]).toEqual([201, '299 - "unknown field \\"dataa\\""']);
});

const itemsOf = ({ body }: Answer): readonly Body[] => body["items"] as unknown as readonly Body[];

test("pages of a list show the collection as it was at the first", async () => {
  const many = "/api/v1/namespaces/kube-public/configmaps";
  for (const name of ["a", "b", "c"]) await call("POST", many, configMap(name));
  const first = await call("GET", `${many}?limit=2`);
  await call("DELETE", `${many}/c`);
  await call("POST", many, configMap("d"));
  const next = `${many}?limit=2&continue=${textAt(first.body, "metadata", "continue")}`;
  const second = await call("GET", next);
  const names = (answer: Answer): unknown[] => itemsOf(answer).map((item) => item.metadata?.["name"]);
  const left: unknown = first.body.metadata?.["remainingItemCount"];
  expect([names(first), left, names(second)]).toEqual([["a", "b"], 1, ["c"]]);
});

/** Pods that have not started may always be evicted. */
async function run(path: string, conditions: object[] = []): Promise<void> {
  const headers = { "content-type": "application/merge-patch+json" };
  await call("PATCH", `${path}/status`, { status: { phase: "Running", conditions } }, headers);
}

test("eviction of an unscheduled pod deletes it", async () => {
  await call("POST", pods, pod("evict-me"));
  const body = {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name: "evict-me", namespace: "default" },
  };
  expect((await call("POST", `${pods}/evict-me/eviction`, body)).status).toBe(201);
  expect((await call("GET", `${pods}/evict-me`)).status).toBe(404);
});

test("eviction is refused while a disruption budget allows none", async () => {
  await call("POST", pods, pod("guarded", {}, { app: "guarded" }));
  await run(`${pods}/guarded`);
  await call("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "guard" },
    spec: { minAvailable: 1, selector: { matchLabels: { app: "guarded" } } },
  });
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "guarded" } };
  expect(await call("POST", `${pods}/guarded/eviction`, body)).toMatchObject({
    status: 429,
    body: {
      reason: "TooManyRequests",
      details: {
        causes: [
          {
            reason: "DisruptionBudget",
            message: "The disruption budget guard is still being processed by the server.",
          },
        ],
        retryAfterSeconds: 10,
      },
    },
  });
  const status = {
    observedGeneration: 1,
    desiredHealthy: 1,
    currentHealthy: 1,
    disruptionsAllowed: 0,
    expectedPods: 1,
  };
  const headers = { "content-type": "application/merge-patch+json" };
  const budget = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/guard/status";
  await call("PATCH", budget, { status }, headers);
  const refused = await call("POST", `${pods}/guarded/eviction`, body);
  // The pod is not ready, and enough others are.
  expect(refused.status).toBe(201);
});

test("eviction of a ready pod is refused without a time to wait while its budget is spent", async () => {
  await call("POST", pods, pod("ready", {}, { app: "spent" }));
  await run(`${pods}/ready`, [{ type: "Ready", status: "True" }]);
  await call("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "spent" },
    spec: { minAvailable: 1, selector: { matchLabels: { app: "spent" } } },
  });
  const status = {
    observedGeneration: 1,
    desiredHealthy: 1,
    currentHealthy: 1,
    disruptionsAllowed: 0,
    expectedPods: 1,
  };
  const headers = { "content-type": "application/merge-patch+json" };
  const budget = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/spent/status";
  await call("PATCH", budget, { status }, headers);
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "ready" } };
  const message = "The disruption budget spent needs 1 healthy pods and has 1 currently";
  expect((await call("POST", `${pods}/ready/eviction`, body)).body).toMatchObject({
    code: 429,
    details: { causes: [{ reason: "DisruptionBudget", message }] },
  });
});

test.each([
  ["an expression", { matchExpressions: [{ key: "tier", operator: "In", values: ["db"] }] }, 429],
  [
    "an expression that does not match",
    { matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] },
    201,
  ],
  ["everything", {}, 429],
])("eviction of a pod is judged by a disruption budget that selects %s", async (_what, selector, status) => {
  const namespace = { apiVersion: "v1", kind: "Namespace", metadata: { generateName: "budgets-" } };
  const { body } = await call("POST", "/api/v1/namespaces", namespace);
  const name = textAt(body, "metadata", "name");
  const inside = `/api/v1/namespaces/${name}/pods`;
  await call("POST", inside, pod("db-0", {}, { tier: "db" }));
  await run(`${inside}/db-0`);
  await call("POST", `/apis/policy/v1/namespaces/${name}/poddisruptionbudgets`, {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: "guard" },
    spec: { minAvailable: 1, selector },
  });
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "db-0" } };
  expect((await call("POST", `${inside}/db-0/eviction`, eviction)).status).toBe(status);
});

test("binding puts a pod on a node once", async () => {
  await call("POST", pods, pod("bind-me"));
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: { name: "bind-me" },
    target: { apiVersion: "v1", kind: "Node", name: "n1" },
  };
  expect((await call("POST", `${pods}/bind-me/binding`, binding)).status).toBe(201);
  expect(await call("GET", `${pods}/bind-me`)).toMatchObject({
    body: {
      spec: { nodeName: "n1" },
      status: { conditions: [expect.objectContaining({ type: "PodScheduled", status: "True" })] },
    },
  });
  expect((await call("POST", `${pods}/bind-me/binding`, binding)).status).toBe(409);
});

test("a namespace is removed when it is deleted and finalized, and refuses new objects meanwhile", async () => {
  await call("POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "leaving" },
  });
  const deleted = await call("DELETE", "/api/v1/namespaces/leaving");
  expect(deleted.body).toMatchObject({ status: { phase: "Terminating" } });
  expect(await call("POST", "/api/v1/namespaces/leaving/configmaps", configMap("late"))).toMatchObject({
    status: 403,
    body: { details: { causes: [{ reason: "NamespaceTerminating" }] } },
  });
  await call("PUT", "/api/v1/namespaces/leaving/finalize", { ...deleted.body, spec: { finalizers: [] } });
  expect((await call("GET", "/api/v1/namespaces/leaving")).status).toBe(404);
});

test("a service account token authenticates the account, with the permissions of its roles", async () => {
  await call("POST", "/api/v1/namespaces/default/serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "bob" },
  });
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const { body } = await call("POST", "/api/v1/namespaces/default/serviceaccounts/bob/token", request);
  const asBob = { authorization: `Bearer ${textAt(body, "status", "token")}` };
  expect((await call("GET", maps, undefined, asBob)).body).toMatchObject({
    message:
      'configmaps is forbidden: User "system:serviceaccount:default:bob" cannot list resource "configmaps" in API group "" in the namespace "default"',
  });
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const rules = [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list"] }];
  await call("POST", `${rbac}/roles`, { apiVersion, kind: "Role", metadata: { name: "reader" }, rules });
  await call("POST", `${rbac}/rolebindings`, {
    apiVersion,
    kind: "RoleBinding",
    metadata: { name: "bob-reads" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
    subjects: [{ kind: "ServiceAccount", name: "bob", namespace: "default" }],
  });
  expect((await call("GET", maps, undefined, asBob)).status).toBe(200);
  expect((await call("DELETE", `${maps}/one`, undefined, asBob)).status).toBe(403);
  await call("DELETE", "/api/v1/namespaces/default/serviceaccounts/bob");
  expect((await call("GET", maps, undefined, asBob)).status).toBe(401);
});

test("server-side apply refuses fields of other managers unless forced, and drops omitted fields", async () => {
  const path = `${maps}/applied?fieldManager=`;
  const apply = (manager: string, data: object, force = false): Promise<Answer> =>
    call(
      "PATCH",
      `${path}${manager}${force ? "&force=true" : ""}`,
      { ...configMap("applied"), data },
      {
        "content-type": "application/apply-patch+yaml",
      },
    );
  expect((await apply("one", { a: "1", b: "1" })).status).toBe(201);
  expect(await apply("two", { a: "2" })).toMatchObject({
    status: 409,
    body: { details: { causes: [{ reason: "FieldManagerConflict", field: ".data.a" }] } },
  });
  expect((await apply("two", { a: "2" }, true)).body).toMatchObject({ data: { a: "2", b: "1" } });
  expect((await apply("one", {})).body["data"] as unknown).toEqual({ a: "2" });
});

test("services get free addresses and ports", async () => {
  const services = "/api/v1/namespaces/default/services";
  const service = (name: string, spec: object) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec,
  });
  const first = await call("POST", services, service("s1", { type: "NodePort", ports: [{ port: 80 }] }));
  const spec = first.body["spec"];
  expect(textAt(spec, "clusterIP")).toMatch(/^10\.96\.\d+\.\d+$/);
  const taken = await call(
    "POST",
    services,
    service("s2", { clusterIP: spec?.["clusterIP"], ports: [{ port: 80 }] }),
  );
  expect(taken).toMatchObject({ status: 422, body: { reason: "Invalid" } });
  const nodePort = spec?.["ports"]?.["0"]?.["nodePort"];
  const again = service("s3", { type: "NodePort", ports: [{ port: 80, nodePort }] });
  expect((await call("POST", services, again)).status).toBe(422);
});

test.each([
  { what: "a cut-off body", path: maps, body: "{", status: 400 },
  { what: "a list", path: maps, body: "[]", status: 400 },
  { what: "an empty body", path: maps, body: "", status: 400 },
  { what: "a body that is too large", path: maps, body: "x".repeat(3_500_000), status: 413 },
  {
    what: "endless nesting",
    path: maps,
    body: `{"kind":${'{"a":'.repeat(1e5)}1${"}".repeat(1e5)}}`,
    status: 400,
  },
  { what: "deep nesting", path: maps, body: `{"kind":${"[".repeat(600)}${"]".repeat(600)}}`, status: 400 },
  { what: "a bad limit", method: "GET", path: `${maps}?limit=0.5`, status: 400 },
  { what: "a bad continue token", method: "GET", path: `${maps}?continue=nonsense`, status: 400 },
  { what: "a bad resourceVersion", method: "GET", path: `${maps}?resourceVersion=x&watch=1`, status: 500 },
  { what: "a patch of a collection", method: "PATCH", path: "/api/v1/nodes", body: "{}", status: 405 },
  { what: "a bad escape", method: "GET", path: "/api/v1/namespaces/%E0%A4%A/configmaps/x", status: 404 },
  { what: "an unknown version", method: "GET", path: "/apis/apps/v1beta9/deployments", status: 404 },
  { what: "an unknown path", method: "GET", path: "/nowhere", status: 404 },
])("$what is refused with $status", async ({ method = "POST", path, body, status }) => {
  expect((await call(method, path, body)).status).toBe(status);
});

test("a protobuf body is read", async () => {
  const text = (field: number, value: string | Uint8Array): number[] => {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    return [(field << 3) | 2, bytes.length, ...bytes];
  };
  const metadata = text(1, new Uint8Array(text(1, "proto")));
  const entry = text(2, new Uint8Array([...text(1, "k"), ...text(2, "v")]));
  const raw = new Uint8Array([...metadata, ...entry]);
  const typeMeta = new Uint8Array([...text(1, "v1"), ...text(2, "ConfigMap")]);
  const body = new Uint8Array([0x6b, 0x38, 0x73, 0, ...text(1, typeMeta), ...text(2, raw)]);
  const headers = { "content-type": "application/vnd.kubernetes.protobuf" };
  const created = await call("POST", maps, new TextDecoder("latin1").decode(body), headers);
  expect(created).toMatchObject({ status: 201, body: { metadata: { name: "proto" }, data: { k: "v" } } });
});
