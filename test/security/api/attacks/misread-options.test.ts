import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/*
 * Requests that a server must not take for a harmless, or a harmful, other one: what a kube-apiserver refuses of them is
 * refused with the same code, and nothing is written or deleted.
 */

const dir = tempDir("misread");
const maps = "/api/v1/namespaces/default/configmaps";
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer(dir.path);
  await server.call("POST", maps, { metadata: { name: "kept" }, data: { a: "1" } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const merge = { "Content-Type": "application/merge-patch+json" };

test.each<[request: string, body: unknown, headers: Record<string, string> | undefined, status: number]>([
  [`DELETE ${maps}/kept`, { dryRun: ["all"] }, undefined, 422],
  [`DELETE ${maps}/kept?dryRun=all`, undefined, undefined, 422],
  [`DELETE ${maps}/kept`, { propagationPolicy: "Orphan", orphanDependents: true }, undefined, 422],
  ["DELETE /api/v1/configmaps", undefined, undefined, 405],
  [`POST ${maps}?dryRun=`, { metadata: { name: "new" } }, undefined, 422],
  [`POST ${maps}?fieldValidation=strict`, { metadata: { name: "new" } }, undefined, 422],
  [`POST ${maps}`, { metadata: { name: "new" } }, { "Content-Type": "text/plain" }, 415],
  [`PATCH ${maps}/kept`, { data: { a: 1 } }, merge, 422],
  [`PATCH ${maps}/kept`, { kind: "Secret" }, merge, 422],
  [`PATCH ${maps}/kept`, { metadata: { uid: "other" } }, merge, 422],
])("%s with %j is refused", async (request, body, headers, status) => {
  const [method = "", path = ""] = request.split(" ");
  const answer = await server.call(method, path, body, headers);
  const { items } = (await server.call("GET", maps)).body;
  const left = Array.isArray(items) ? items.map(({ metadata, data }) => [metadata.name, data]) : [];
  expect([answer.status, left]).toEqual([status, [["kept", { a: "1" }]]]);
});

test("a patch with resourceVersion 0 is for any version, as without one", async () => {
  const patch = { metadata: { resourceVersion: "0" } };
  expect(await server.call("PATCH", `${maps}/kept`, patch, merge)).toMatchObject({ status: 200 });
});

test("a binding of another pod than the path says is refused", async () => {
  const pods = "/api/v1/namespaces/default/pods";
  const spec = { containers: [{ name: "c", image: "busybox:1" }] };
  await server.call("POST", pods, { metadata: { name: "p" }, spec });
  const binding = { metadata: { name: "q" }, target: { kind: "Node", name: "n" } };
  expect(await server.call("POST", `${pods}/p/binding`, binding)).toMatchObject({ status: 400 });
  expect((await server.call("GET", `${pods}/p`)).body.spec).not.toHaveProperty("nodeName");
});
