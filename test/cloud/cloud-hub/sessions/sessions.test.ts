import { connect as connectPlain } from "node:net";
import { connect as connectSecurely } from "node:tls";
import { describe, expect, test } from "bun:test";
import { ensureCertificates } from "#cloud/cloud-hub/certificates";
import type { ObjectDelivery } from "#shared/topics";
import { closeCodes, type WireMessage } from "#shared/wire";
import {
  clientPair,
  RawNode,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";

function podUpdate(
  version: string,
  more: { uid?: string; operation?: ObjectDelivery["operation"]; name?: string } = {},
): Omit<ObjectDelivery, "node"> {
  const { uid = "u1", operation = "update", name = "web" } = more;
  const metadata = { name, namespace: "default", uid, resourceVersion: version };
  return { operation, object: { kind: "Pod", apiVersion: "v1", metadata } };
}

async function connect(harness: Harness, node = "edge-1"): Promise<RawNode> {
  const raw = new RawNode(harness, await clientPair(harness.authority, `system:node:${node}`), { node });
  await raw.opened;
  await harness.until((events) => events.some(({ topic, body }) => topic === "connected" && body === node));
  return raw;
}

async function servedHosts(port: number): Promise<string> {
  const socket = connectSecurely({ host: "127.0.0.1", port, rejectUnauthorized: false });
  socket.on("error", () => undefined);
  await new Promise<void>((resolve) => void socket.once("secureConnect", () => resolve()));
  const { subjectaltname = "" } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname;
}

describe("cloudhub sessions", () => {
  test("a node without a certificate is refused", async () => {
    await using harness = await startHarness();
    using raw = new RawNode(harness, {}, { node: "edge-1" });
    expect(await raw.closed).toBe(1006);
    expect(harness.events).toEqual([]);
  });

  test("a node with the certificate of another node or another CA is refused", async () => {
    await using harness = await startHarness();
    using other = new RawNode(harness, await clientPair(harness.authority, "system:node:edge-2"), {
      node: "edge-1",
    });
    expect(await other.closed).toBe(1006);
    await using foreign = await startHarness();
    using alien = new RawNode(harness, await clientPair(foreign.authority, "system:node:edge-1"), {
      node: "edge-1",
    });
    expect(await alien.closed).toBe(1006);
    expect(harness.events).toEqual([]);
  });

  test("a certificate of our CA that names neither a node nor KubeEdge is refused", async () => {
    await using harness = await startHarness();
    using raw = new RawNode(harness, await clientPair(harness.authority, "somebody"), { node: "edge-1" });
    expect(await raw.closed).toBe(1006);
    expect(harness.events).toEqual([]);
  });

  test("a node that does not read is closed although it sends keepalives", async () => {
    await using harness = await startHarness({ keepaliveMs: 5000, writeTimeoutMs: 400 });
    using raw = await connect(harness);
    const life = setInterval(() => raw.say("websocket", "keepalive", "node"), 50);
    raw.pause();
    const { operation, object } = podUpdate("1");
    const data = { text: "x".repeat(24 * 1024 * 1024) };
    await harness.deliver("edge-1", { operation, object: { ...object, data } });
    await harness.until((events) => events.some(({ topic }) => topic === "disconnected"));
    clearInterval(life);
    expect(harness.log.lines.find((line) => line.includes("does not read in time"))).toBeDefined();
  });

  test("new certificates are served to new connections, and present ones stay open", async () => {
    await using harness = await startHarness();
    using old = await connect(harness);
    const made = { dataDir: harness.dir, nowMs: Date.now(), advertise: ["new.example"] };
    await harness.hub.reload(ensureCertificates(made));
    expect(harness.hub.reload(Promise.reject(new Error("unreadable")))).rejects.toThrow("unreadable");
    using _fresh = await connect(harness, "edge-2");
    const names = await Promise.all([harness.hub.port, harness.hub.httpsPort].map(servedHosts));
    expect(names.map((text) => text.includes("new.example"))).toEqual([true, true]);
    old.raw("still here");
    using bare = new RawNode(harness, {}, { node: "edge-3" });
    expect(await bare.closed).toBe(1006);
    expect(harness.events).toEqual([
      { topic: "connected", body: "edge-1" },
      { topic: "connected", body: "edge-2" },
    ]);
  });

  test("the shared certificate of KubeEdge connects by path when that is switched on, and is refused otherwise", async () => {
    await using harness = await startHarness({ sharedCertificate: true });
    const pair = await clientPair(harness.authority, "kubeedge.io");
    using raw = new RawNode(harness, pair, { path: "/proj/edge-9/events" });
    await raw.opened;
    await harness.until((events) => events.length === 1);
    expect(harness.events).toEqual([{ topic: "connected", body: "edge-9" }]);
    await using strict = await startHarness();
    const refused = await clientPair(strict.authority, "kubeedge.io");
    using no = new RawNode(strict, refused, { node: "edge-9" });
    expect(await no.closed).toBe(1006);
  });

  test("one node too many gets 429 and a connected one may reconnect", async () => {
    await using harness = await startHarness({ nodeLimit: 1 });
    using first = await connect(harness);
    using second = new RawNode(harness, await clientPair(harness.authority, "system:node:edge-2"), {
      node: "edge-2",
    });
    await expect(second.opened).rejects.toThrow();
    using again = await connect(harness);
    expect(await first.closed).toBe(closeCodes.duplicate);
    again.say("websocket", "keepalive", "node");
  });

  test("a new connection replaces the old one without a disconnection being reported", async () => {
    await using harness = await startHarness();
    using old = await connect(harness);
    using fresh = await connect(harness);
    expect(await old.closed).toBe(closeCodes.duplicate);
    fresh.say("meta", "query", "default/configmap/a");
    await harness.until((events) => events.some(({ topic }) => topic === "node.request"));
    expect(harness.events.map(({ topic }) => topic)).toEqual(["connected", "connected", "node.request"]);
  });

  test("upstream messages reach their module in order, spoofed ones and those about others reach none", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    raw.raw("no json");
    raw.raw(new Uint8Array([1, 2, 3]));
    raw.say("edgecontroller", "update", "default/pod/web");
    raw.say("edged", "update", "default/nodestatus/edge-2");
    raw.say("twin", "update", "node/edge-1/device/d1/state/update", {
      content: JSON.stringify({ device: { state: "online" } }),
    });
    raw.say("edged", "update", "default/nodestatus/edge-1");
    raw.say("meta", "query", "default/secret/s");
    await harness.until((events) => events.length === 4);
    expect(harness.events.map(({ topic, body }) => [topic, body])).toMatchObject([
      ["connected", "edge-1"],
      ["device.report", { node: "edge-1", device: "d1", kind: "state", state: "online" }],
      ["node.request", { node: "edge-1", resource: "Node/status", verb: "update", name: "edge-1" }],
      ["node.request", { resource: "Secret", verb: "query", namespace: "default", name: "s" }],
    ]);
  });

  test("an error of a node is logged, whatever its content is", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    for (const content of ["no room", { toString: 1 }, null])
      raw.say("meta", "error", "default/pod/p", { content });
    raw.say("meta", "query", "default/secret/s");
    await harness.until((events) => events.some(({ topic }) => topic === "node.request"));
    const lines = harness.log.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const texts = lines.flatMap(({ msg, text }) =>
      msg === "a node could not handle a message" ? [text] : [],
    );
    expect(texts).toEqual(["no room", '{"toString":1}', ""]);
  });

  test("binary frames are reported once as unsupported, and the session goes on", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    for (const byte of [1, 2]) raw.raw(new Uint8Array([byte, 2, 3]));
    raw.say("meta", "query", "default/secret/s");
    await harness.until((events) => events.some(({ topic }) => topic === "node.request"));
    const lines = harness.log.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const about = lines.filter(({ msg }) => String(msg).includes("binary frame"));
    expect(about.map(({ level, count, bytes }) => [level, count, bytes])).toEqual([
      ["warn", 1, 3],
      ["debug", 2, 3],
    ]);
  });

  test.each(["node", "lease", "nodestatus", "nodepatch", "membership"])(
    "what a node reports of a device that is called %s reaches its module",
    async (name) => {
      await using harness = await startHarness();
      using raw = await connect(harness);
      const content = { twin: {}, device: { state: "online" } };
      for (const resource of ["twin/edge_updated", "state/update"])
        raw.say("twin", "update", `node/edge-1/device/${name}/${resource}`, { group: "twin", content });
      await harness.until((events) => events.length === 3);
      expect(harness.events.slice(1)).toMatchObject([
        { topic: "device.report", body: { kind: "twins", device: name } },
        { topic: "device.report", body: { kind: "state", device: name } },
      ]);
    },
  );

  test("a message that is refused is answered, so that the node keeps it no longer", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    raw.say("edged", "update", "default/nodestatus/edge-2");
    expect(await raw.next()).toMatchObject({
      route: { operation: "response", resource: "default/nodestatus/edge-2" },
      content: { ErrStatus: { code: 403, reason: "Forbidden", message: "it is about another node" } },
    });
  });

  test("a node without keepalives is closed although it sends other messages", async () => {
    await using harness = await startHarness({ keepaliveMs: 300 });
    using raw = await connect(harness);
    raw.say("meta", "query", "default/secret/s");
    expect(await raw.closed).toBe(1001);
    await harness.until((events) => events.some(({ topic }) => topic === "disconnected"));
  });

  test("a deleted node is closed", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    await harness.closeNode("edge-1");
    expect(await raw.closed).toBe(1008);
  });

  test("dispose closes sessions with 1001", async () => {
    const harness = await startHarness();
    using raw = await connect(harness);
    await harness[Symbol.asyncDispose]();
    expect(await raw.closed).toBe(1001);
  });
});

test("dispose does not wait for a silent connection", async () => {
  const harness = await startHarness();
  const silent = connectPlain(harness.hub.port, "127.0.0.1");
  silent.on("error", () => undefined);
  await new Promise<void>((resolve) => void silent.once("connect", () => resolve()));
  await harness[Symbol.asyncDispose]();
  silent.destroy();
});

test("a node refused for the limit reads why", async () => {
  await using harness = await startHarness({ nodeLimit: 0 });
  const pair = await clientPair(harness.authority, "system:node:edge-1");
  const socket = connectSecurely({
    host: "127.0.0.1",
    port: harness.hub.port,
    ca: harness.authority.certPem,
    ...pair,
  });
  socket.write(
    "GET /p/edge-1/events HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  let text = "";
  for await (const part of socket as AsyncIterable<Buffer>) text += part.toString();
  expect(text).toStartWith("HTTP/1.1 429 Too Many Requests\r\n");
  expect(text).toEndWith("too many nodes: at most 0 may connect\n");
});

describe("cloudhub deliveries", () => {
  test("an object is delivered and its acknowledgement reported", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    const delivery = podUpdate("7");
    await harness.deliver("edge-1", delivery);
    const got = await raw.next();
    expect(got).toEqual({
      header: { msg_id: expect.any(String), timestamp: expect.any(Number), resourceversion: "7" },
      route: {
        source: "edgecontroller",
        group: "resource",
        operation: "update",
        resource: "default/pod/web",
      },
      content: delivery.object,
    });
    raw.ack(got);
    await harness.until((events) => events.length === 2);
    expect(harness.events[1]).toMatchObject({
      topic: "acked",
      body: { node: "edge-1", uid: "u1", resourceVersion: "7", kind: "Pod", deleted: false },
    });
    expect(harness.asked).toEqual(["u1"]);
  });

  test("an object the node has is skipped, its deletion is not", async () => {
    await using harness = await startHarness();
    harness.versions.set("u1", "10");
    using raw = await connect(harness);
    await harness.deliver("edge-1", podUpdate("9"));
    await harness.deliver("edge-1", podUpdate("9", { operation: "delete" }));
    const got = await raw.next();
    expect(got.route.operation).toBe("delete");
    raw.ack(got);
    await harness.until((events) => events.length === 2);
    expect(harness.events[1]).toMatchObject({ topic: "acked", body: { deleted: true } });
  });

  test("of an object only the latest waits, and no update follows its deletion", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    await harness.deliver("edge-1", podUpdate("1"));
    const first = await raw.next();
    await harness.deliver("edge-1", podUpdate("2"));
    await harness.deliver("edge-1", podUpdate("3"));
    await harness.deliver("edge-1", podUpdate("3", { operation: "delete" }));
    await harness.deliver("edge-1", podUpdate("4"));
    await harness.deliver("edge-1", podUpdate("1", { uid: "u2", name: "other" }));
    expect((await raw.next()).route.resource).toBe("default/pod/other");
    raw.ack(first);
    expect((await raw.next()).route.operation).toBe("delete");
  });

  test("at most 16 objects are under way", async () => {
    await using harness = await startHarness();
    using raw = await connect(harness);
    for (let at = 0; at < 40; at += 1)
      await harness.deliver("edge-1", podUpdate("1", { uid: `u${at}`, name: `p${at}` }));
    const seen: WireMessage[] = [];
    for (let at = 0; at < 16; at += 1) seen.push(await raw.next());
    expect(harness.asked).toHaveLength(16);
    for (const message of seen) raw.ack(message);
    for (let at = 16; at < 40; at += 1) raw.ack(await raw.next());
    await harness.until((events) => events.length === 41);
    expect(new Set(harness.asked).size).toBe(40);
  });

  test("a response to a query goes out whatever version was acknowledged", async () => {
    await using harness = await startHarness();
    harness.versions.set("u1", "99");
    using raw = await connect(harness);
    const metadata = { name: "page", namespace: "default", uid: "u1", resourceVersion: "9" };
    harness.answers.set("page", { ok: true, object: { kind: "ConfigMap", apiVersion: "v1", metadata } });
    raw.say("meta", "query", "default/configmap/page");
    const got = await raw.next();
    expect([got.route.operation, got.header.resourceversion]).toEqual(["response", "9"]);
    raw.say("edged", "update", "default/nodestatus/edge-1");
    expect(await raw.next()).toMatchObject({ route: { operation: "response" }, content: "OK" });
    expect(harness.asked).toEqual([]);
    await harness.deliver("nobody", podUpdate("1"));
  });
});
