import { afterAll, beforeAll, expect, test } from "bun:test";
import { textAt } from "#internal/test/support/cloud/api-server.ts";
import { startRouterHarness, until, type RouterHarness } from "./router-harness.ts";

let harness: RouterHarness;

beforeAll(async () => {
  harness = await startRouterHarness();
  await harness.addNode("edge-1", { room: "hall" });
  await harness.addNode("edge-2", { room: "hall" });
  await harness.addNode("offline");
  await harness.put("Rule", "web", {
    source: "rest",
    sourceResource: { path: "/web" },
    target: "app",
    targetResource: { path: "/" },
  });
  await harness.put("Rule", "slow", {
    source: "rest",
    sourceResource: { path: "/slow" },
    target: "app",
    targetResource: { path: "/", timeout: "2" },
  });
  await harness.put("Rule", "cmd", {
    source: "rest",
    sourceResource: { path: "/cmd/{what}" },
    target: "bus",
    targetResource: { topic: "cmd/{what}" },
  });
  await harness.put("Rule", "hall", {
    source: "rest",
    sourceResource: { path: "/hall" },
    target: "bus",
    targetResource: { topic: "t", node_selector: "room=hall" },
  });
  await harness.put("Rule", "kept", {
    source: "rest",
    sourceResource: { path: "/kept" },
    target: "app",
    targetResource: { path: "/kept", delivery: "durable", timeout: "2" },
  });
  await harness.connect("edge-1");
  await until(
    () => harness.request("/edge-1/default/kept?dryRun=All"),
    ({ status }) => status === 200,
  );
});
afterAll(() => harness[Symbol.asyncDispose]());

const problemOf = async (response: Response): Promise<unknown[]> => [
  response.status,
  response.headers.get("kubeedge-error"),
];

test("a request without a valid token is refused", async () => {
  const answers = [];
  for (const token of ["", "wrong", "x".repeat(20_000)])
    answers.push(await problemOf(await harness.request("/edge-1/default/web", { token })));
  expect(answers).toEqual([
    [401, "unauthorized"],
    [401, "unauthorized"],
    [401, "unauthorized"],
  ]);
});

test("a response that comes before the end of a long body reaches the client", async () => {
  harness.serve = async () => new Response("denied", { status: 401 });
  const body = Buffer.alloc(8 * 1024 * 1024);
  const response = await harness.request("/edge-1/default/web", { method: "POST", body });
  expect([response.status, await response.text()]).toEqual([401, "denied"]);
});

test("a server on a node gets the length of a body when the client sends it", async () => {
  harness.serve = async ({ headers }) => new Response(headers.get("content-length"));
  const chunks = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode("data"));
      controller.close();
    },
  });
  const answers = [];
  for (const body of ["data", null, chunks]) {
    const response = await harness.request("/edge-1/default/web", { method: "POST", body });
    answers.push(await response.text());
  }
  expect(answers).toEqual(["4", "0", ""]);
});

test("a request passes through to the server on the node, and its response back", async () => {
  let seen: unknown;
  harness.serve = async (request) => {
    seen = {
      url: request.url,
      method: request.method,
      body: await request.text(),
      token: request.headers.get("authorization"),
      custom: request.headers.get("x-custom"),
      forged: request.headers.get("x-forwarded-for"),
      proto: request.headers.get("x-forwarded-proto"),
    };
    return new Response("made", { status: 201, headers: { "x-app": "yes", connection: "close", te: "x" } });
  };
  const response = await harness.request("/edge-1/default/web/a%20b/?q=1%2F2", {
    method: "POST",
    body: "hello",
    headers: { "x-custom": "1", "x-forwarded-for": "1.2.3.4" },
  });
  expect([
    response.status,
    response.headers.get("x-app"),
    response.headers.get("te"),
    await response.text(),
  ]).toEqual([201, "yes", null, "made"]);
  expect(seen).toEqual({
    url: "http://127.0.0.1:8080/a%20b/?q=1%2F2",
    method: "POST",
    body: "hello",
    token: null,
    custom: "1",
    forged: null,
    proto: "https",
  });
});

test("server-sent events arrive as they are sent", async () => {
  const next = Promise.withResolvers<void>();
  harness.serve = async () =>
    new Response(
      new ReadableStream<Uint8Array>({
        start: async (controller) => {
          controller.enqueue(new TextEncoder().encode("data: 1\n\n"));
          await next.promise;
          controller.enqueue(new TextEncoder().encode("data: 2\n\n"));
          controller.close();
        },
      }),
      { headers: { "content-type": "text/event-stream" } },
    );
  const response = await harness.request("/edge-1/default/web/events");
  const reader = response.body?.getReader();
  const first = await reader?.read();
  expect(Buffer.from(first?.value ?? []).toString()).toBe("data: 1\n\n");
  next.resolve();
  const second = await reader?.read();
  expect(Buffer.from(second?.value ?? []).toString()).toBe("data: 2\n\n");
  expect((await reader?.read())?.done).toBe(true);
});

test("a client that disconnects ends the request on the node", async () => {
  const aborted = Promise.withResolvers<void>();
  harness.serve = async (request) => {
    request.signal.addEventListener("abort", () => aborted.resolve());
    return new Response(new ReadableStream<Uint8Array>({ start: (c) => c.enqueue(new Uint8Array(10)) }));
  };
  const client = new AbortController();
  const response = await harness.request("/edge-1/default/web/endless", { signal: client.signal });
  await response.body?.getReader().read();
  client.abort();
  await aborted.promise;
});

test("a body of 64 MiB passes through in both directions, and more is refused", async () => {
  let received = 0;
  harness.serve = async (request) => {
    for await (const chunk of request.body ?? []) received += chunk.length;
    return new Response(new Uint8Array(1024 * 1024).fill(7));
  };
  const big = new Uint8Array(64 * 1024 * 1024);
  const response = await harness.request("/edge-1/default/web/upload", { method: "PUT", body: big });
  expect([response.status, (await response.bytes()).length, received]).toEqual([
    200,
    1024 * 1024,
    big.length,
  ]);
  const more = new Uint8Array(64 * 1024 * 1024 + 1);
  expect(
    await problemOf(await harness.request("/edge-1/default/web/upload", { method: "PUT", body: more })),
  ).toEqual([413, "body-too-large"]);
});

test("a server that does not answer in time is a 504", async () => {
  harness.serve = () => new Promise(() => undefined);
  expect(await problemOf(await harness.request("/edge-1/default/slow"))).toEqual([504, "timeout"]);
});

test("a node that is offline is a 504 with its reason", async () => {
  const response = await harness.request("/offline/default/web");
  expect([response.status, await response.json()]).toEqual([
    504,
    { error: 'node "offline" is offline', reason: "node-offline" },
  ]);
});

test("a request for a node that is offline waits where the rule says so, is counted, and arrives with the same id", async () => {
  const response = await harness.request("/offline/default/kept/x?y=1", { method: "POST", body: "later" });
  const { messageId } = (await response.json()) as { messageId: string };
  expect(response.status).toBe(202);
  await until(
    () => harness.status("kept"),
    ({ queuedMessages }) => queuedMessages === 1,
  );
  const arrived = Promise.withResolvers<unknown>();
  harness.serve = async (request) => {
    arrived.resolve([request.url, request.headers.get("x-kubeedge-message-id"), await request.text()]);
    return new Response();
  };
  await harness.connect("offline");
  expect(await arrived.promise).toEqual(["http://127.0.0.1:8080/kept/x?y=1", messageId, "later"]);
  await harness.disconnect("offline");
});

test("a path without a rule and a node that does not exist have different answers", async () => {
  expect(await problemOf(await harness.request("/edge-1/default/nothing"))).toEqual([404, "no-rule"]);
  expect(await problemOf(await harness.request("/edge-9/default/web"))).toEqual([404, "no-node"]);
  expect(await problemOf(await harness.request("/edge-1/default/web//x"))).toEqual([400, "bad-path"]);
});

test("a message is published, and the answer says that the node has it", async () => {
  harness.commands.length = 0;
  const response = await harness.request("/edge-1/default/cmd/on", { method: "POST", body: "now" });
  const body = (await response.json()) as { nodes: unknown };
  expect([response.status, body.nodes]).toEqual([200, [{ node: "edge-1", outcome: "confirmed" }]]);
  expect(harness.commands).toEqual([
    { node: "edge-1", command: { operation: "publish", topic: "cmd/on", payload: "now" } },
  ]);
});

test("a message for several nodes names those that did not get it", async () => {
  const response = await harness.request("/-/default/hall", { method: "POST", body: "x" });
  expect([response.status, await response.json()]).toEqual([
    504,
    {
      error: '1 of 2 nodes did not get the message, such as "edge-2": node "edge-2" is offline',
      reason: "not-delivered",
    },
  ]);
});

test("a payload that is no text is published as it is, and a node of KubeEdge is named as one that takes text", async () => {
  harness.commands.length = 0;
  const body = new Uint8Array([0x61, 0xff, 0x00, 0xfe]);
  const response = await harness.request("/edge-1/default/cmd/x", { method: "POST", body });
  expect([response.status, harness.commands.map(({ command }) => command)]).toEqual([
    200,
    [{ operation: "publish", topic: "cmd/x", payload: "a\ufffd\0\ufffd", bytes: Buffer.from(body) }],
  ]);
  await harness.connect("edge-2", { kubeedge: true });
  const refused = await harness.request("/edge-2/default/cmd/x", { method: "POST", body });
  expect([refused.status, await refused.text()]).toEqual([
    504,
    expect.stringContaining("publishes UTF-8 text only"),
  ]);
  await harness.disconnect("edge-2");
});

test("a dry run says which rule matches and sends nothing", async () => {
  harness.commands.length = 0;
  const response = await harness.request("/-/default/hall?dryRun=All", { method: "POST", body: "x" });
  const { messageId: _, ...body } = (await response.json()) as Record<string, unknown>;
  expect(body).toEqual({
    dryRun: true,
    rule: "default/hall",
    nodeCount: 2,
    wouldSend: [
      { node: "edge-1", connected: true, publish: "t" },
      { node: "edge-2", connected: false, publish: "t" },
    ],
  });
  expect(harness.commands).toEqual([]);
});

test("a user needs the right for the rule and the verb", async () => {
  const role = { apiVersion: "rbac.authorization.k8s.io/v1" };
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  await harness.api.call("POST", "/api/v1/namespaces/default/serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "caller" },
  });
  const { body } = await harness.api.call("POST", "/api/v1/namespaces/default/serviceaccounts/caller/token", {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: {},
  });
  const token = textAt(body, "status", "token");
  const rules = [
    { apiGroups: ["rules.kubeedge.io"], resources: ["rules/proxy"], resourceNames: ["web"], verbs: ["get"] },
  ];
  await harness.api.call("POST", `${rbac}/roles`, {
    ...role,
    kind: "Role",
    metadata: { name: "web" },
    rules,
  });
  await harness.api.call("POST", `${rbac}/rolebindings`, {
    ...role,
    kind: "RoleBinding",
    metadata: { name: "web" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "web" },
    subjects: [{ kind: "ServiceAccount", name: "caller", namespace: "default" }],
  });
  harness.serve = async () => new Response("hi");
  const asked = async (path: string, method = "GET") =>
    (await harness.request(path, { method, token })).status;
  expect([
    await asked("/edge-1/default/web"),
    await asked("/edge-1/default/web", "POST"),
    await asked("/edge-1/default/cmd/x"),
    await asked("/edge-1/default/nothing"),
    await asked("/edge-1/kube-system/web"),
  ]).toEqual([200, 403, 403, 403, 403]);
});

test("changes of rules and endpoints take effect at once, and the status says what is wrong", async () => {
  harness.serve = async (request) => new Response(new URL(request.url).host);
  const path = "/edge-1/default/moved";
  const rule = (port: string) => ({
    source: "rest",
    sourceResource: { path: port },
    target: "app2",
    targetResource: { path: "/" },
  });
  await harness.put("Rule", "moved", rule("/moved"));
  await until(
    () => harness.status("moved"),
    ({ state }) => state === "Invalid",
  );
  expect((await harness.status("moved")).errors).toEqual([
    'spec.target: "app2" must name a RuleEndpoint of the same namespace',
  ]);
  await harness.put("RuleEndpoint", "app2", {
    ruleEndpointType: "servicebus",
    properties: { service_port: "9001" },
  });
  await until(
    async () => (await harness.request(path)).text(),
    (text) => text === "127.0.0.1:9001",
  );
  await harness.put("RuleEndpoint", "app2", {
    ruleEndpointType: "servicebus",
    properties: { service_port: "9002" },
  });
  await until(
    async () => (await harness.request(path)).text(),
    (text) => text === "127.0.0.1:9002",
  );
  await harness.put("Rule", "moved", rule("/elsewhere"));
  await until(
    () => harness.request(path),
    ({ status }) => status === 404,
  );
  await until(
    () => harness.status("moved"),
    ({ state, successMessages = 0 }) => state === "Active" && successMessages > 1,
  );
});
