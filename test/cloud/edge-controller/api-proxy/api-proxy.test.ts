import { afterAll, beforeAll, expect, test } from "bun:test";
import { ApiProxy, type ApiProxyOptions } from "#cloud/edge-controller/api-proxy";
import { createPassage } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import { fetchOver } from "#shared/streams";
import { eventually } from "#internal/scripts/service.ts";
import {
  adminToken,
  ownToken,
  startTestServer,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";

let server: TestServer;
let ends: Linked;
let owned: AsyncDisposableStack;

beforeAll(async () => {
  await using stack = new AsyncDisposableStack();
  server = stack.use(await startTestServer(stack.use(tempDir("api-proxy")).path));
  ends = stack.use(await link());
  owned = stack.move();
});
afterAll(() => owned.disposeAsync());

interface Sent {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: readonly (readonly [string, string])[];
  readonly signal?: AbortSignal;
}

/** The real API over its Unix socket, as cloudcore reaches it with a token of its own. */
async function proxyOf(options: Partial<ApiProxyOptions> = {}): Promise<ApiProxy> {
  const access = {
    from: "inline",
    server: "http://localhost",
    socket: server.api.socket,
    token: ownToken,
  } as const;
  const passage = await createPassage(access, systemClock);
  return new ApiProxy({ passage, clock: systemClock, log: silentLog(), ...options });
}

async function send(proxy: ApiProxy, path: string, sent: Sent = {}): Promise<Response> {
  const { method = "GET", body, headers = [["authorization", `Bearer ${adminToken}`]], signal } = sent;
  const stream = ends.node.open({ service: "kube-api", method, path, headers });
  void proxy.serve("edge-1", await ends.atCloud());
  return fetchOver(stream, body === undefined ? null : new Response(body).body, signal);
}

test("a request is answered by the API with the rights of its own token", async () => {
  const proxy = await proxyOf();
  const answer = await send(proxy, "/api/v1/namespaces?limit=1");
  expect([answer.status, ((await answer.json()) as { kind: string }).kind]).toEqual([200, "NamespaceList"]);
});

test("a node reads OpenAPI documents, and nothing else, without a token", async () => {
  const proxy = await proxyOf();
  const index = await send(proxy, "/openapi/v3", { headers: [] });
  const { paths } = (await index.json()) as { paths: Record<string, { serverRelativeURL: string }> };
  expect(index.status).toBe(200);
  const document = await send(proxy, paths["api/v1"]?.serverRelativeURL ?? "", { headers: [] });
  expect([document.status, await document.text()]).toEqual([200, expect.stringContaining('"openapi"')]);
  for (const path of ["/api/v1/nodes", "/apis", "/openapi/v3x", "/openapi/v2"])
    expect((await send(proxy, path, { headers: [] })).status).toBeGreaterThanOrEqual(400);
  const post = await send(proxy, "/openapi/v3", { headers: [], method: "POST", body: "{}" });
  expect(post.status).toBeGreaterThanOrEqual(400);
});

test.each([
  ["no token", []],
  ["a token nobody gave", [["authorization", "Bearer of-nobody"]]],
  ["basic authentication", [["authorization", `Basic ${Buffer.from("a:b").toString("base64")}`]]],
  [
    "two tokens",
    [
      ["authorization", "Bearer a"],
      ["Authorization", `Bearer ${adminToken}`],
    ],
  ],
  [
    "impersonation without a token",
    [
      ["impersonate-user", "kubernetes-admin"],
      ["impersonate-group", "system:masters"],
      ["x-remote-user", "kubernetes-admin"],
      ["x-remote-group", "system:masters"],
    ],
  ],
] as const)("a request with %s gets nothing of the API", async (_what, headers) => {
  const answer = await send(await proxyOf(), "/api/v1/secrets", { headers });
  expect([401, 403]).toContain(answer.status);
  expect(((await answer.json()) as { reason: string }).reason).toMatch(/^(Unauthorized|Forbidden)$/);
});

test("impersonation is not passed on even for those who may", async () => {
  const headers = [
    ["authorization", `Bearer ${adminToken}`],
    ["Impersonate-User", "system:anonymous"],
  ] as const;
  expect((await send(await proxyOf(), "/api/v1/secrets", { headers })).status).toBe(200);
});

test.each([
  "/metrics",
  "/debug/pprof",
  "//api/v1/secrets",
  "/api/../metrics",
  "/api/./v1/secrets",
  "/api/v1//secrets",
  "/api/%2e%2e/metrics",
  "/api/v1/namespaces/a%2Fb/secrets",
  "/api/v1/namespaces/a%252Fb/secrets",
  "/api/v1\\secrets",
  "/api/v1/secrets#x",
  "/api/v1/secrets HTTP/1.1",
  "/apiserver",
  "/api/v1/..",
  "/.well-known/acme-challenge",
])("the path %p is not passed on", async (path) => {
  const answer = await send(await proxyOf(), path);
  expect([answer.status, ((await answer.json()) as { message: string }).message]).toEqual([
    404,
    expect.stringContaining("no path of the API"),
  ]);
});

test("a write passes with its body", async () => {
  const proxy = await proxyOf();
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "written" }, data: { a: "b" } };
  const headers = [
    ["authorization", `Bearer ${adminToken}`],
    ["content-type", "application/json"],
  ] as const;
  const path = "/api/v1/namespaces/default/configmaps";
  const answer = await send(proxy, path, { method: "POST", body: JSON.stringify(map), headers });
  expect(answer.status).toBe(201);
  await answer.text();
  const stored = await server.call("GET", `${path}/written`);
  expect(stored.body["data"]).toEqual({ a: "b" } as never);
  expect((await send(proxy, `${path}/written`, { method: "DELETE" })).status).toBe(200);
});

test("a body past the limit is refused while it is sent", async () => {
  const answer = await send(await proxyOf({ largestBody: 1024 }), "/api/v1/namespaces/default/configmaps", {
    method: "POST",
    body: "x".repeat(200_000),
  });
  expect([answer.status, ((await answer.json()) as { reason: string }).reason]).toEqual([
    413,
    "RequestEntityTooLarge",
  ]);
});

test("a watch delivers what happens, and ends at the API when the node's client leaves", async () => {
  const proxy = await proxyOf();
  const client = new AbortController();
  const answer = await send(proxy, "/api/v1/namespaces/default/configmaps?watch=true", {
    signal: client.signal,
  });
  const lines = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  await server.call("POST", "/api/v1/namespaces/default/configmaps", {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "watched" },
  });
  let text = "";
  while (!text.includes('"watched"')) text += (await lines?.read())?.value ?? "";
  expect(proxy.openOf("edge-1")).toBe(1);
  client.abort();
  await lines?.cancel().catch(() => undefined);
  await eventually(5000, async () => expect(proxy.openOf("edge-1")).toBe(0));
});

test("a node has so many requests open and no more", async () => {
  const proxy = await proxyOf({ mostPerNode: 1 });
  const client = new AbortController();
  const watch = await send(proxy, "/api/v1/configmaps?watch=true", { signal: client.signal });
  expect(watch.status).toBe(200);
  const second = await send(proxy, "/api/v1/configmaps");
  expect([second.status, second.headers.get("retry-after")]).toEqual([429, "1"]);
  client.abort();
  await watch.body?.cancel().catch(() => undefined);
});

test("a refused write gets its answer although nobody reads its body", async () => {
  const answer = await send(await proxyOf(), "/metrics", { method: "POST", body: "x".repeat(2_000_000) });
  expect(answer.status).toBe(404);
  const headers = [["authorization", "Bearer of-nobody"]] as const;
  const path = "/api/v1/namespaces/default/configmaps";
  const denied = await send(await proxyOf(), path, { method: "POST", body: "x".repeat(2_000_000), headers });
  expect(denied.status).toBe(401);
});

test("exec is refused with the reason", async () => {
  const answer = await send(await proxyOf(), "/api/v1/namespaces/default/pods/a/exec?command=sh");
  expect(answer.status).toBe(501);
});

test("an API that cannot be reached is unavailable, and the answer says that it is not the API's", async () => {
  const access = { from: "inline", server: "https://127.0.0.1:1", token: ownToken } as const;
  const passage = await createPassage(access, systemClock);
  const answer = await send(await proxyOf({ passage }), "/api/v1/pods");
  expect([answer.status, answer.headers.get("kubeedge-unavailable")]).toEqual([503, "true"]);
});

test("a plain port is not passed on to: it may give everybody the rights of its owner", async () => {
  const access = { from: "master", url: "http://127.0.0.1:8080" } as const;
  await expect(createPassage(access, systemClock)).rejects.toThrow("name an https URL");
  const answer = await send(await proxyOf({ passage: undefined }), "/api/v1/pods");
  expect(answer.status).toBe(503);
});
