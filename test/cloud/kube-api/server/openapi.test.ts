import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* `/openapi/v2` as kubectl and Go clients read it; expectations from the conformance specs "CustomResourcePublishOpenAPI". */

const dir = tempDir("openapi");
let server: TestServer;
const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const gnostic = { accept: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" };

function definitionOf(plural: string, schema: object, versions = ["v1"]): object {
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: `${plural}.lab.example.com` },
    spec: {
      group: "lab.example.com",
      scope: "Namespaced",
      names: { plural, singular: plural, kind: plural.toUpperCase() },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: schema },
      })),
    },
  };
}

interface Swagger {
  readonly paths: Readonly<Record<string, unknown>>;
  readonly definitions: Readonly<Record<string, { readonly properties?: unknown }>>;
}

async function swagger(): Promise<Swagger> {
  return (await server.call("GET", "/openapi/v2")).body as unknown as Swagger;
}

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("the Swagger document has every definition that it refers to, and paths", async () => {
  const document = await swagger();
  const text = JSON.stringify(document);
  const wanted = new Set([...text.matchAll(/"#\/definitions\/([^"]+)"/g)].map(([, name = ""]) => name));
  expect([...wanted].filter((name) => document.definitions[name] === undefined)).toEqual([]);
  expect(document.definitions["io.k8s.api.core.v1.Pod"]).toMatchObject({
    "x-kubernetes-group-version-kind": [{ group: "", kind: "Pod", version: "v1" }],
  });
  expect(document.paths["/api/v1/namespaces/{namespace}/pods/{name}"]).toMatchObject({
    patch: {
      "x-kubernetes-group-version-kind": { group: "", kind: "Pod", version: "v1" },
      parameters: [{ name: "dryRun" }, { name: "fieldManager" }, { name: "fieldValidation" }],
    },
  });
});

test("a definition is published without what clients cannot validate", async () => {
  const schema = {
    description: "Of the test",
    type: "object",
    properties: {
      spec: {
        type: "object",
        required: ["name", "maybe"],
        properties: {
          name: { type: "string", pattern: "a|b", default: "a" },
          maybe: { type: "integer", nullable: true },
          either: { "x-kubernetes-int-or-string": true, anyOf: [{ type: "integer" }, { type: "string" }] },
          open: {
            type: "object",
            "x-kubernetes-preserve-unknown-fields": true,
            properties: { a: { type: "string" } },
          },
        },
      },
    },
  };
  await server.call("POST", definitions, definitionOf("foo", schema));
  const shown = (await swagger()).definitions["com.example.lab.v1.FOO"];
  expect(shown).toMatchObject({ description: "Of the test", type: "object" });
  expect(shown?.properties).toEqual({
    apiVersion: expect.anything(),
    kind: expect.anything(),
    metadata: {
      description: expect.stringContaining("Standard object's metadata"),
      $ref: "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
    },
    spec: {
      type: "object",
      required: ["name"],
      properties: {
        name: { type: "string", pattern: "a|b" },
        maybe: {},
        either: { "x-kubernetes-int-or-string": true },
        open: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
    },
  });
});

test("a definition that preserves everything is published as an object of any fields", async () => {
  const schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
  await server.call("POST", definitions, definitionOf("any", schema));
  expect((await swagger()).definitions["com.example.lab.v1.ANY"] as unknown).toEqual({
    type: "object",
    "x-kubernetes-group-version-kind": [{ group: "lab.example.com", kind: "ANY", version: "v1" }],
  });
});

test("a version that is no longer served is no longer published", async () => {
  const schema = { type: "object" };
  await server.call("POST", definitions, definitionOf("two", schema, ["v1", "v2"]));
  expect(Object.keys((await swagger()).definitions)).toContain("com.example.lab.v2.TWO");
  const patch = [{ op: "replace", path: "/spec/versions/1/served", value: false }];
  const json = { "content-type": "application/json-patch+json" };
  expect((await server.call("PATCH", `${definitions}/two.lab.example.com`, patch, json)).status).toBe(200);
  const names = Object.keys((await swagger()).definitions);
  expect([names.includes("com.example.lab.v1.TWO"), names.includes("com.example.lab.v2.TWO")]).toEqual([
    true,
    false,
  ]);
});

test("clients with the document are answered that it did not change, until it does", async () => {
  const first = await server.call("GET", "/openapi/v2");
  const etag = first.headers.get("etag") ?? "";
  const again = { "if-none-match": etag };
  expect((await server.call("GET", "/openapi/v2", undefined, again)).status).toBe(304);
  await server.call("POST", definitions, definitionOf("later", { type: "object" }));
  expect((await server.call("GET", "/openapi/v2", undefined, again)).status).toBe(200);
});

test("the protobuf form has the same definitions and paths", async () => {
  const response = await server.call("GET", "/openapi/v2", undefined, gnostic);
  expect(response.headers.get("content-type")).toBe(gnostic.accept);
  const text = textAt(response.body, "text");
  const { definitions: all, paths } = await swagger();
  for (const name of [...Object.keys(all), ...Object.keys(paths)]) expect(text).toContain(name);
});
