import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* Paths, options and forms of reading requests, as kube-apiserver takes and refuses them. */

const dir = tempDir("reading");
let server: TestServer;
const maps = "/api/v1/namespaces/default/configmaps";
const configMap = (name: string): object => ({ metadata: { name } });

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("the deprecated paths of watches are watched, by GET alone", async () => {
  await server.call("POST", maps, configMap("watched"));
  for (const path of ["configmaps", "configmaps/watched"]) {
    const response = await server.stream(`/api/v1/watch/namespaces/default/${path}?timeoutSeconds=1`);
    expect(await response.text()).toContain('"name":"watched"');
  }
  const post = await server.call("POST", "/api/v1/watch/namespaces/default/configmaps", configMap("posted"));
  expect([post.status, (await server.call("GET", `${maps}/posted`)).status]).toEqual([405, 404]);
  expect(
    (await server.call("GET", "/api/v1/watch/namespaces/default/configmaps/watched/status")).status,
  ).toBe(404);
});

test.each([
  ["HEAD", "/api/v1/namespaces", 405],
  ["HEAD", "/api/v1/namespaces/default", 405],
  ["HEAD", "/healthz", 200],
  ["GET", "/api/v1/namespaces/default/", 200],
  ["GET", "//api/v1/namespaces/default", 200],
  ["GET", "/api//v1/namespaces", 404],
  ["GET", "/api/v1//namespaces", 404],
  ["GET", "/api/v1/namespaces//configmaps", 404],
])("%s %s is answered with %d", async (method, path, status) => {
  expect((await server.call(method, path)).status).toBe(status);
});

const as = (kind: string) => ({ accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` });

test.each([
  ["PartialObjectMetadata", maps, 406],
  ["PartialObjectMetadata", "/api/v1/namespaces/default", 200],
  ["PartialObjectMetadataList", maps, 200],
  ["PartialObjectMetadataList", "/api/v1/namespaces/default", 406],
  ["Table", `${maps}?includeObject=None`, 200],
  ["Table", `${maps}?includeObject=Nope`, 400],
])("%s of %s is answered with %d", async (kind, path, status) => {
  expect((await server.call("GET", path, undefined, as(kind))).status).toBe(status);
});

test.each([
  [
    "watch=1&resourceVersionMatch=Exact",
    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
  ],
  [
    "watch=1&sendInitialEvents=true",
    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
  ],
  ["sendInitialEvents=true", "sendInitialEvents is forbidden for list"],
])("?%s is refused", async (query, message) => {
  expect(await server.call("GET", `${maps}?${query}`)).toMatchObject({
    status: 422,
    body: { message: expect.stringContaining(message) as unknown },
  });
});
