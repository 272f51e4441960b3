import { afterEach, beforeEach, expect, test } from "bun:test";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { JsonObject } from "#shared/json";

/* Field selectors of custom resources, after "Selectable fields for custom resources" of Kubernetes' documentation. */

const shirts = "/apis/stable.example.com/v1/namespaces/default/shirts";
let dir: ReturnType<typeof tempDir>;
let server: TestServer;

const crd = (properties: JsonObject, more: JsonObject = {}) => ({
  metadata: { name: "shirts.stable.example.com" },
  spec: {
    group: "stable.example.com",
    scope: "Namespaced",
    names: { plural: "shirts", singular: "shirt", kind: "Shirt" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: "object", properties: { spec: { type: "object", properties } } },
        },
        selectableFields: ["color", "size", "sold"].map((name) => ({ jsonPath: `.spec.${name}` })),
        ...more,
      },
    ],
  },
});

const fields: JsonObject = {
  color: { type: "string" },
  size: { type: "integer" },
  sold: { type: "boolean" },
};

const list = async (selector: string, path = shirts): Promise<string[]> => {
  const { body } = await server.call("GET", `${path}?fieldSelector=${encodeURIComponent(selector)}`);
  const items = body["items"] as unknown as { readonly metadata: { readonly name: string } }[];
  return items.map(({ metadata }) => metadata.name);
};

beforeEach(async () => {
  dir = tempDir("selectable-fields");
  server = await startTestServer(dir.path);
  await server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd(fields));
  for (const [name, spec] of Object.entries({
    a: { color: "blue", size: 1, sold: true },
    b: { color: "blue", size: 2, sold: false },
    c: { size: 2 },
  }))
    await server.call("POST", shirts, {
      apiVersion: "stable.example.com/v1",
      kind: "Shirt",
      metadata: { name },
      spec,
    });
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test.each([
  ["spec.color=blue", ["a", "b"]],
  ["spec.color!=blue", ["c"]],
  ["spec.color=", ["c"]],
  ["spec.size=2", ["b", "c"]],
  ["spec.sold=true", ["a"]],
  ["spec.color=blue,spec.size=2,metadata.namespace=default", ["b"]],
  ["metadata.name=c,spec.size=2", ["c"]],
])("a list selects custom resources by %p", async (selector, names) => {
  expect(await list(selector)).toEqual(names);
});

test("a list does not select by a field that is not selectable", async () => {
  const { status, body } = await server.call("GET", `${shirts}?fieldSelector=spec.price%3D1`);
  expect({ status, message: textAt(body, "message") }).toEqual({
    status: 400,
    message:
      'Unable to find "stable.example.com/v1, Resource=shirts" that match label selector "", field selector "spec.price=1": field label not supported: spec.price',
  });
});

test("OpenAPI names the selectable fields", async () => {
  const { body } = await server.call("GET", "/openapi/v3/apis/stable.example.com/v1");
  const schema = body["components"]?.["schemas"]?.["com.example.stable.v1.Shirt"];
  expect(schema?.["x-kubernetes-selectable-fields"] as unknown).toEqual([
    { fieldPath: "spec.color" },
    { fieldPath: "spec.size" },
    { fieldPath: "spec.sold" },
  ]);
});

test("a watch sends what begins and ends to be selected", async () => {
  const { body } = await server.call("GET", shirts);
  const revision = textAt(body, "metadata", "resourceVersion");
  const merge = { "content-type": "application/merge-patch+json" };
  await server.call("PATCH", `${shirts}/c`, { spec: { color: "red" } }, merge);
  await server.call("PATCH", `${shirts}/a`, { spec: { color: "red" } }, merge);
  await server.call("PATCH", `${shirts}/a`, { spec: { color: "blue" } }, merge);
  await server.call("PATCH", `${shirts}/c`, { spec: { color: null } }, merge);
  const query = `watch=1&timeoutSeconds=1&resourceVersion=${revision}&fieldSelector=spec.color%3Dblue`;
  const response = await server.stream(`${shirts}?${query}`);
  const lines = (await response.text()).split("\n").filter((line) => line !== "");
  const events = lines.map(
    (line) => JSON.parse(line) as { readonly type: string; readonly object: { metadata: { name: string } } },
  );
  expect(events.map(({ type, object }) => `${type} ${object.metadata.name}`)).toEqual([
    "DELETED a",
    "ADDED a",
  ]);
});

test("a default that was added later is selected by, and a collection is deleted by it", async () => {
  const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/shirts.stable.example.com";
  const { body } = await server.call("GET", path);
  const { spec } = crd({ ...fields, color: { type: "string", default: "white" } });
  await server.call("PUT", path, { ...body, spec });
  expect(await list("spec.color=white")).toEqual(["c"]);
  await server.call("DELETE", `${shirts}?fieldSelector=spec.color%3Dwhite`);
  expect(await list("")).toEqual(["a", "b"]);
});
