import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/*
 * Bodies as clients with Go, Python or Java types send them: without apiVersion and kind, which the path says. Expectations from
 * the documentation of kube-apiserver's field validation (KEP-2885) and the conformance specs "FieldValidation".
 */

const dir = tempDir("typed-clients");
let server: TestServer;
const maps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const gauges = "/apis/lab.example.com/v1/namespaces/default/gauges";
const strict = "fieldManager=test&fieldValidation=Strict";
const applied = { "content-type": "application/apply-patch+yaml" };
const template = {
  metadata: { labels: { app: "web" } },
  spec: { containers: [{ name: "web", image: "busybox:1" }] },
};
const deployment = (name: string): object => ({
  metadata: { name },
  spec: { selector: { matchLabels: { app: "web" } }, template },
});

/** A definition whose `spec.open` takes anything and whose `spec.template` is an object of the API. */
function definitionOf(spec: object): { readonly spec: object; readonly [field: string]: unknown } {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "gauges.lab.example.com" },
    spec: {
      group: "lab.example.com",
      scope: "Namespaced",
      names: { plural: "gauges", singular: "gauge", kind: "Gauge" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties: spec } } },
          },
        },
      ],
    },
  };
}

const specOf = (more: object = {}): object => ({
  unit: { type: "string" },
  open: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
  template: { type: "object", "x-kubernetes-embedded-resource": true },
  ...more,
});

beforeAll(async () => {
  server = await startTestServer(dir.path);
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  expect((await server.call("POST", path, definitionOf(specOf()))).status).toBe(201);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("create, replace and status of a builtin kind take a body without apiVersion and kind", async () => {
  const created = await server.call("POST", deployments, deployment("untyped"));
  expect(created).toMatchObject({ status: 201, body: { apiVersion: "apps/v1", kind: "Deployment" } });
  const replaced = await server.call("PUT", `${deployments}/untyped`, deployment("untyped"));
  expect(replaced.status).toBe(200);
  const { status } = await server.call("PUT", `${deployments}/untyped/status`, {
    metadata: { name: "untyped" },
    status: { replicas: 3 },
  });
  expect(status).toBe(200);
  const scaled = await server.call("PUT", `${deployments}/untyped/scale`, {
    metadata: { name: "untyped" },
    spec: { replicas: 2 },
  });
  expect(scaled).toMatchObject({ status: 200, body: { kind: "Scale", spec: { replicas: 2 } } });
});

test("a custom resource without a kind is refused", async () => {
  expect(await server.call("POST", gauges, { metadata: { name: "a" } })).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining("Object 'Kind' is missing in") },
  });
});

test("a strict create names unknown and duplicate fields in one refusal", async () => {
  const text = `{"metadata":{"name":"twice"},"dataa":{},"data":{"k":"a","k":"b"}}`;
  expect(await server.call("POST", `${maps}?${strict}`, text)).toMatchObject({
    status: 400,
    body: {
      message: expect.stringContaining(
        'strict decoding error: unknown field "dataa", duplicate field "data.k"',
      ),
    },
  });
  const warned = await server.call("POST", maps, text);
  expect([warned.status, warned.headers.get("warning")]).toEqual([
    201,
    '299 - "unknown field \\"dataa\\"", 299 - "duplicate field \\"data.k\\""',
  ]);
});

test("an apply with a field that the schema does not declare is refused with its path", async () => {
  const gauge = (spec: string): string =>
    `apiVersion: lab.example.com/v1\nkind: Gauge\nmetadata:\n  name: g\nspec:\n${spec}`;
  const apply = (spec: string): ReturnType<TestServer["call"]> =>
    server.call("PATCH", `${gauges}/g?${strict}`, gauge(spec), applied);
  expect(await apply("  units: bar\n")).toMatchObject({
    status: 400,
    body: {
      message:
        "failed to create typed patch object (default/g; lab.example.com/v1, Kind=Gauge): .spec.units: field not declared in schema",
    },
  });
  const embedded =
    "  template:\n    apiVersion: v1\n    kind: Sub\n    metadata:\n      name: s\n      odd: x\n";
  expect((await apply(embedded)).body["message"]).toEqual(
    expect.stringContaining(".spec.template.metadata.odd: field not declared in schema"),
  );
  expect((await apply("  open:\n    any: 1\n")).status).toBe(201);
});

test("an apply in YAML with a key that is there twice is refused with its line", async () => {
  const text =
    "apiVersion: lab.example.com/v1\nkind: Gauge\nmetadata:\n  name: h\nspec:\n  unit: bar\n  unit: psi\n";
  expect(await server.call("PATCH", `${gauges}/h?${strict}`, text, applied)).toMatchObject({
    status: 400,
    body: { message: expect.stringContaining('line 7: key "unit" already set in map') },
  });
});

test("a patch that changes the uid is invalid, an update of another uid conflicts", async () => {
  await server.call("POST", maps, { metadata: { name: "uid" } });
  const merge = { "content-type": "application/merge-patch+json" };
  expect(await server.call("PATCH", `${maps}/uid`, { metadata: { uid: "x" } }, merge)).toMatchObject({
    status: 422,
    body: { reason: "Invalid", details: { causes: [{ field: "metadata.uid" }] } },
  });
  const updated = await server.call("PUT", `${maps}/uid`, { metadata: { name: "uid", uid: "x" } });
  expect(updated).toMatchObject({ status: 409, body: { reason: "Conflict" } });
});

test("tolerations that a patch replaces keep those of outages", async () => {
  const pods = "/api/v1/namespaces/default/pods";
  const merge = { "content-type": "application/strategic-merge-patch+json" };
  await server.call("POST", pods, { metadata: { name: "tolerant" }, spec: template.spec });
  const patch = { spec: { tolerations: [{ key: "lab", operator: "Exists" }] } };
  expect(await server.call("PATCH", `${pods}/tolerant`, patch, merge)).toMatchObject({
    status: 200,
    body: {
      spec: {
        tolerations: [
          { key: "lab" },
          { key: "node.kubernetes.io/not-ready" },
          { key: "node.kubernetes.io/unreachable" },
        ],
      },
    },
  });
});

test.each([
  { query: "resourceVersion=x", status: 500, text: "invalid syntax" },
  { query: "resourceVersion=99999999", status: 504, text: "Too large resource version" },
  { query: "resourceVersionMatch=Exact", status: 422, text: "unless resourceVersion is provided" },
  { query: "resourceVersion=1&resourceVersionMatch=Odd", status: 422, text: 'Unsupported value: "Odd"' },
])("a list with $query is refused with $status", async ({ query, status, text }) => {
  const message = expect.stringContaining(text) as unknown;
  expect(await server.call("GET", `${maps}?${query}`)).toMatchObject({ status, body: { message } });
});

test("defaults that a definition gets later are shown by get, list, watch and table", async () => {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gauges.lab.example.com";
  const body = { apiVersion: "lab.example.com/v1", kind: "Gauge", metadata: { name: "old" }, spec: {} };
  expect((await server.call("POST", gauges, body)).status).toBe(201);
  const { spec } = definitionOf(specOf({ limit: { type: "integer", default: 7 } }));
  const current = await server.call("GET", path);
  expect((await server.call("PUT", path, { ...current.body, spec })).status).toBe(200);
  expect((await server.call("GET", `${gauges}/old`)).body).toMatchObject({ spec: { limit: 7 } });
  const only = "fieldSelector=metadata.name%3Dold";
  expect((await server.call("GET", `${gauges}?${only}`)).body).toMatchObject({
    items: [{ spec: { limit: 7 } }],
  });
  const watch = await server.stream(`${gauges}?${only}&watch=1&timeoutSeconds=1`);
  expect(await watch.text()).toContain('"limit":7');
});

test("the status of a definition has conditions of other programs", async () => {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gauges.lab.example.com";
  const { body } = await server.call("GET", path);
  const status = body["status"] as unknown as { conditions: object[] };
  const own = { type: "Checked", status: "True", reason: "r", message: "updated" };
  const conditions = [...status.conditions, own];
  const updated = await server.call("PUT", `${path}/status`, { ...body, status: { ...status, conditions } });
  expect(updated).toMatchObject({
    status: 200,
    body: { status: { conditions: [{ type: "NamesAccepted" }, { type: "Established" }, own] } },
  });
});

const leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

test.each([
  [`${gauges}/versions`, "gauges.lab.example.com"],
  [`${leases}/versions`, "leases.coordination.k8s.io"],
  [
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gauges.lab.example.com",
    "customresourcedefinitions.apiextensions.k8s.io",
  ],
])("an update of %s names the version that it replaces", async (path, plural) => {
  const metadata = { name: "versions" };
  await server.call("POST", gauges, { apiVersion: "lab.example.com/v1", kind: "Gauge", metadata });
  await server.call("POST", leases, { metadata });
  const { body } = await server.call("GET", path);
  const { resourceVersion: _version, ...rest } = { ...body["metadata"] };
  const name = path.slice(path.lastIndexOf("/") + 1);
  const message = `${plural} "${name}" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update`;
  const refused = { status: 422, body: { reason: "Invalid", message } };
  expect(await server.call("PUT", path, { ...body, metadata: rest })).toMatchObject(refused);
  const zero = { ...body, metadata: { ...rest, resourceVersion: "0" } };
  expect(await server.call("PUT", path, zero)).toMatchObject(refused);
  const type = { "content-type": "application/merge-patch+json" };
  expect(await server.call("PATCH", path, { metadata: { resourceVersion: null } }, type)).toMatchObject(
    refused,
  );
  expect((await server.call("PATCH", path, { metadata: { labels: { a: "b" } } }, type)).status).toBe(200);
  expect((await server.call("PUT", path, body)).status).toBe(409);
});
