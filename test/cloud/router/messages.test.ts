import { afterEach, beforeEach, expect, test } from "bun:test";
import { startRouterHarness, until, type RouterHarness } from "./router-harness.ts";

interface Received {
  readonly id: string | null;
  readonly node: string | null;
  readonly topic: string | null;
  readonly body: string;
}

let harness: RouterHarness;
let target: Bun.Server<undefined>;
let received: Received[];
/** What the target answers, one after another; 200 afterwards. */
let answers: number[];

beforeEach(async () => {
  received = [];
  answers = [];
  target = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { headers } = request;
      const [id, node, topic] = ["x-kubeedge-message-id", "nodename", "x-kubeedge-topic"].map((name) =>
        headers.get(name),
      );
      received.push({ id: id ?? null, node: node ?? null, topic: topic ?? null, body: await request.text() });
      return new Response("thanks", { status: answers.shift() ?? 200 });
    },
  });
  harness = await startRouterHarness();
  await harness.addNode("edge-1", { room: "hall" });
  await harness.addNode("edge-2", { room: "hall" });
  await harness.put("Rule", "up", {
    source: "bus",
    sourceResource: { topic: "up/#", all_nodes: "true" },
    target: "rest",
    targetResource: { resource: `http://127.0.0.1:${target.port}/in/{node}` },
  });
  await until(
    () => harness.status("up"),
    ({ state }) => state === "Active",
  );
});
afterEach(async () => {
  await harness[Symbol.asyncDispose]();
  await target.stop(true);
});

test("a message of a node is posted with its node, topic and id", async () => {
  expect(await harness.upload("edge-1", "default/up/a", "21", "m-1")).toBe(true);
  await until(
    () => received.length,
    (count) => count === 1,
  );
  expect(received).toEqual([{ id: "m-1", node: "edge-1", topic: "default/up/a", body: "21" }]);
});

test("a message that no rule wants may be forgotten", async () => {
  expect(await harness.upload("edge-1", "default/other", "21")).toBe(true);
  expect(await harness.upload("edge-1", "up/a", "21")).toBe(true);
  expect(received).toEqual([]);
});

test("a target that fails gets the message again, with the same id and in order", async () => {
  answers = [500, 503, 429];
  for (const content of ["1", "2", "3"])
    await harness.upload("edge-1", "default/up", content, `m-${content}`);
  await until(
    () => received.length,
    (count) => count === 6,
  );
  expect(received.map(({ body }) => body)).toEqual(["1", "1", "1", "1", "2", "3"]);
  expect(new Set(received.map(({ id }) => id)).size).toBe(3);
  const status = await until(
    () => harness.status("up"),
    ({ successMessages }) => successMessages === 3,
  );
  expect([status.failMessages, status.errors, status.queuedMessages, status.deadLetters]).toEqual([
    3,
    ["the target answered 429"],
    0,
    0,
  ]);
});

test("a target that refuses a message does not hold up the next", async () => {
  answers = [404];
  await harness.upload("edge-1", "default/up", "1");
  await harness.upload("edge-1", "default/up", "2");
  await until(
    () => received.length,
    (count) => count === 2,
  );
  const { deadLetters, lastFailureTime } = await until(
    () => harness.status("up"),
    ({ successMessages }) => successMessages === 1,
  );
  expect([deadLetters, typeof lastFailureTime]).toEqual([1, "string"]);
});

test("messages survive a restart of the router", async () => {
  answers = Array.from({ length: 100 }, () => 503);
  for (let index = 0; index < 20; index += 1)
    await harness.upload("edge-1", "default/up", String(index), `m-${index}`);
  await until(
    () => received.length,
    (count) => count > 0,
  );
  answers = [];
  received.length = 0;
  await harness.restart();
  await until(
    () => new Set(received.map(({ id }) => id)).size,
    (count) => count === 20,
    15_000,
  );
});

test("messages go from node to node, and wait for one that is offline", async () => {
  await harness.put("Rule", "across", {
    source: "bus",
    sourceResource: { topic: "alarm", node_name: "edge-1" },
    target: "bus",
    targetResource: { topic: "alarms/{node}", node_selector: "room=hall", delivery: "durable" },
  });
  await until(
    () => harness.status("across"),
    ({ state }) => state === "Active",
  );
  await harness.connect("edge-1");
  harness.commands.length = 0;
  await harness.upload("edge-1", "default/alarm", "fire");
  const published = () => harness.commands.filter(({ command }) => command.operation === "publish");
  await until(published, ({ length }) => length === 1);
  await harness.connect("edge-2");
  await until(published, ({ length }) => length === 2);
  expect(published().map(({ node, command }) => [node, command])).toEqual([
    ["edge-1", { operation: "publish", topic: "alarms/edge-1", payload: "fire" }],
    ["edge-2", { operation: "publish", topic: "alarms/edge-1", payload: "fire" }],
  ]);
});

test("a program on a node gets the answer of a target that a rule names, and of no other", async () => {
  const url = `http://127.0.0.1:${target.port}/ask`;
  await harness.put("Rule", "ask", {
    source: "app",
    sourceResource: { target_url: url, node_name: "edge-1" },
    target: "rest",
    targetResource: { resource: url },
  });
  await until(
    () => harness.status("ask"),
    ({ state }) => state === "Active",
  );
  expect(await harness.ask("edge-1", url, '{"payload":1}')).toBe("thanks");
  expect(received).toEqual([{ id: "q1", node: "edge-1", topic: null, body: '{"payload":1}' }]);
  answers = [500];
  expect(harness.ask("edge-1", url, "{}")).rejects.toThrow("the target answered 500: thanks");
  expect(harness.ask("edge-2", url, "{}")).rejects.toThrow("no rule names");
  expect(harness.ask("edge-1", `${url}/other`, "{}")).rejects.toThrow("no rule names");
});

test("our nodes get the rules that concern them as objects, without status", async () => {
  harness.delivered.length = 0;
  await harness.connect("edge-1");
  await until(
    () => harness.delivered.length,
    (count) => count === 3,
  );
  expect(
    harness.delivered.map(({ node, operation, object }) => [
      node,
      operation,
      object.kind,
      object.metadata.name,
      "status" in object,
    ]),
  ).toEqual([
    ["edge-1", "insert", "RuleEndpoint", "bus", false],
    ["edge-1", "insert", "RuleEndpoint", "rest", false],
    ["edge-1", "insert", "Rule", "up", false],
  ]);
  const records = harness.delivered.map(({ object: { kind = "", metadata } }) => ({
    apiVersion: "rules.kubeedge.io/v1",
    kind,
    namespace: "default",
    name: metadata.name ?? "",
    uid: metadata.uid ?? "",
    resourceVersion: metadata.resourceVersion ?? "",
  }));
  harness.records.set("edge-1", records);
  harness.delivered.length = 0;
  await harness.remove("up");
  await until(
    () => harness.delivered.length,
    (count) => count === 3,
  );
  expect(harness.delivered.map(({ operation, object }) => `${operation} ${object.kind}`).sort()).toEqual([
    "delete Rule",
    "delete RuleEndpoint",
    "delete RuleEndpoint",
  ]);
});

test("nodes of KubeEdge get its messages when they connect and when rules change", async () => {
  await harness.connect("edge-1", { kubeedge: true });
  await until(
    () => harness.commands.length,
    (count) => count === 1,
  );
  await harness.put("Rule", "up", { sourceResource: { topic: "elsewhere" } });
  await until(
    () => harness.commands.length,
    (count) => count === 3,
  );
  expect(harness.commands).toEqual([
    { node: "edge-1", command: { operation: "subscribe", topic: "default/up/#" } },
    { node: "edge-1", command: { operation: "unsubscribe", topic: "default/up/#" } },
    { node: "edge-1", command: { operation: "subscribe", topic: "default/elsewhere" } },
  ]);
});

test("a call of a server on a node of KubeEdge is one message", async () => {
  await harness.put("Rule", "web", {
    source: "rest",
    sourceResource: { path: "/web" },
    target: "app",
    targetResource: { path: "/x" },
  });
  await harness.connect("edge-1", { kubeedge: true });
  harness.reply = { status: 418, headers: [["x-app", "1"]], body: new TextEncoder().encode("tea") };
  const response = await until(
    () => harness.request("/edge-1/default/web/y", { method: "POST", body: "hello" }),
    ({ status }) => status === 418,
  );
  expect([response.headers.get("x-app"), await response.text()]).toEqual(["1", "tea"]);
  const call = harness.calls.at(-1);
  expect([call?.port, call?.method, call?.path, Buffer.from(call?.body ?? []).toString()]).toEqual([
    8080,
    "POST",
    "/x/y",
    "hello",
  ]);
});

test("a response of which KubeEdge's edgecore sent a part is refused, unless it has no body", async () => {
  await harness.put("Rule", "web", {
    source: "rest",
    sourceResource: { path: "/web" },
    target: "app",
    targetResource: { path: "/x" },
  });
  await harness.connect("edge-1", { kubeedge: true });
  harness.reply = { status: 200, headers: [["Content-Length", "6"]], body: new TextEncoder().encode("cut") };
  const response = await until(
    () => harness.request("/edge-1/default/web"),
    ({ status }) => status === 502,
  );
  expect(await response.json()).toEqual({
    error: "the node sent 3 of 6 bytes of the response",
    reason: "no-response",
  });
  harness.reply = { ...harness.reply, body: new Uint8Array() };
  const head = await harness.request("/edge-1/default/web", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "6"]);
});

test("a target that does not answer holds up no other rule, however many nodes send to it", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  await harness.put("Rule", "silent", {
    source: "bus",
    sourceResource: { topic: "silent", all_nodes: "true" },
    target: "rest",
    targetResource: { resource: `http://127.0.0.1:${silent.port}/` },
  });
  await until(
    () => harness.status("silent"),
    ({ state }) => state === "Active",
  );
  for (let at = 0; at < 100; at += 1) await harness.upload(`far-${at}`, "default/silent", "x", `s-${at}`);
  await harness.upload("edge-1", "default/up/a", "21", "m-1");
  await until(
    () => received.length,
    (count) => count === 1,
  );
  expect(received.map(({ id }) => id)).toEqual(["m-1"]);
  silent.stop(true);
});

test("a payload that is no text reaches its target as it is", async () => {
  const payload = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  const taken = Promise.withResolvers<readonly [string | null, Uint8Array]>();
  await using binary = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      taken.resolve([request.headers.get("content-type"), await request.bytes()]);
      return new Response();
    },
  });
  await harness.put("Rule", "binary", {
    source: "bus",
    sourceResource: { topic: "binary", all_nodes: "true" },
    target: "rest",
    targetResource: { resource: `http://127.0.0.1:${binary.port}/` },
  });
  await until(
    () => harness.status("binary"),
    ({ state }) => state === "Active",
  );
  await harness.upload("edge-1", "default/binary", payload);
  expect(await taken.promise).toEqual(["application/octet-stream", payload]);
});
