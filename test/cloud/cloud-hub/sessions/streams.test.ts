import { describe, expect, test } from "bun:test";
import type { ByteStream } from "#shared/streams";
import { closeCodes } from "#shared/wire";
import {
  clientPair,
  RawNode,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { startLinked } from "./linked-hubs.ts";

const head = { service: "service-bus", path: "/a" };
const mebibyte = 1024 * 1024;

/** Sends back what comes. */
const echo = (stream: ByteStream): void =>
  void stream.readable.pipeTo(stream.writable).catch(() => undefined);

async function write(stream: ByteStream, bytes: Uint8Array, times = 1): Promise<void> {
  const writer = stream.writable.getWriter();
  for (let turn = 0; turn < times; turn += 1) await writer.write(bytes);
  await writer.close();
}

async function lengthOf(stream: ByteStream): Promise<number> {
  let length = 0;
  for await (const chunk of stream.readable) length += chunk.length;
  return length;
}

describe("streams on the link", () => {
  test("100 streams of the cloud and 100 of the node carry their own bytes, while messages pass", async () => {
    await using linked = await startLinked();
    const { cloud, edge } = linked;
    edge.serve = echo;
    cloud.onApiStream((_node, stream) => echo(stream));
    const sizes = Array.from({ length: 100 }, (_, index) => 2000 * index + 1);
    const both = sizes.flatMap((size) => [
      { size, stream: cloud.openStream("edge-1", head) },
      { size, stream: edge.openStream({ service: "kube-api" }) },
    ]);
    const done = both.map(async ({ size, stream }) => {
      const opened = await stream;
      const [length] = await Promise.all([lengthOf(opened), write(opened, new Uint8Array(size))]);
      return length;
    });
    const metadata = { name: "web", namespace: "default", uid: "u1", resourceVersion: "1" };
    await cloud.deliver("edge-1", {
      operation: "insert",
      object: { kind: "Pod", apiVersion: "v1", metadata },
    });
    await cloud.until((events) => events.some(({ topic }) => topic === "acked"));
    expect(await Promise.all(done)).toEqual(both.map(({ size }) => size));
  });

  test("a cut link ends all streams at both ends, and new ones open once it is back", async () => {
    await using linked = await startLinked();
    const { cloud, edge, link } = linked;
    const served: ByteStream[] = [];
    edge.serve = (stream) => void served.push(stream);
    const opened = await Promise.all(Array.from({ length: 50 }, () => cloud.openStream("edge-1", head)));
    await Promise.all(opened.map((stream) => stream.writable.getWriter().write(new Uint8Array(1000))));
    await Promise.all(
      Array.from({ length: 50 }, async () => echo(await edge.openStream({ service: "kube-api" }))),
    );
    link.cut();
    const reasons = await Promise.all(opened.map(({ closed }) => closed));
    expect(new Set(reasons.map(({ reason }) => reason))).toEqual(new Set(["connection closed (1006)"]));
    const atNode = await Promise.all(served.map(({ closed }) => closed));
    expect(atNode.every(({ reason }) => reason !== undefined)).toBe(true);
    await linked.up(2);
    edge.serve = echo;
    const again = await cloud.openStream("edge-1", head);
    const [length] = await Promise.all([lengthOf(again), write(again, new Uint8Array(70_000))]);
    expect(length).toBe(70_000);
  });

  test("a stream that is idle for longer than the keepalive stays open", async () => {
    await using linked = await startLinked({ keepaliveMs: 400, heartbeatMs: 100 });
    const { cloud, edge } = linked;
    edge.serve = echo;
    const stream = await cloud.openStream("edge-1", head);
    // Nothing happens on the stream in this time, which is what is tested.
    const silence = Promise.withResolvers<void>();
    setTimeout(silence.resolve, 2000);
    await silence.promise;
    const [length] = await Promise.all([lengthOf(stream), write(stream, new Uint8Array(10))]);
    expect(length).toBe(10);
    expect(cloud.events.map(({ topic }) => topic)).toEqual(["connected"]);
  });

  test("a link that stalls holds the bytes of streams back at their senders, and loses none", async () => {
    await using linked = await startLinked();
    const { cloud, edge, link } = linked;
    edge.serve = echo;
    const streams = await Promise.all(Array.from({ length: 20 }, () => cloud.openStream("edge-1", head)));
    const writing = streams.map((stream) => write(stream, new Uint8Array(64 * 1024), 32));
    link.stall();
    const before = process.memoryUsage().rss;
    const other = await cloud.openStream("edge-1", head);
    link.restore();
    const lengths = await Promise.all(streams.map(lengthOf));
    await Promise.all([...writing, write(other, new Uint8Array(1)), lengthOf(other)]);
    expect(new Set(lengths)).toEqual(new Set([2 * mebibyte]));
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * mebibyte);
  });

  test("streams that fill a slow link end no session, and messages pass in the meantime", async () => {
    await using linked = await startLinked({ keepaliveMs: 2000, heartbeatMs: 300, bytesPerSecond: 500_000 });
    const { cloud, edge } = linked;
    edge.serve = (stream) => void write(stream, new Uint8Array(64 * 1024), 4);
    const streams = await Promise.all(Array.from({ length: 20 }, () => cloud.openStream("edge-1", head)));
    const done = Promise.all(streams.map(lengthOf));
    // Until more than the keepalive's time of data waits on the way.
    const filled = Promise.withResolvers<void>();
    setTimeout(filled.resolve, 3000);
    await filled.promise;
    const sentMs = performance.now();
    const metadata = { name: "web", namespace: "default", uid: "u1", resourceVersion: "1" };
    await cloud.deliver("edge-1", {
      operation: "insert",
      object: { kind: "Pod", apiVersion: "v1", metadata },
    });
    await cloud.until((events) => events.some(({ topic }) => topic === "acked" || topic === "disconnected"));
    const tookMs = performance.now() - sentMs;
    expect(cloud.events.map(({ topic }) => topic)).toEqual(["connected", "acked"]);
    // All that the streams may have on their way would take ten seconds.
    expect(tookMs).toBeLessThan(3000);
    expect(new Set(await done)).toEqual(new Set([mebibyte / 4]));
  });

  test("a service that nobody serves is refused with its name, at both ends", async () => {
    await using linked = await startLinked();
    const { cloud, edge } = linked;
    const down = await cloud.openStream("edge-1", { service: "shell" });
    expect(await down.closed).toEqual({ reason: 'edgecore does not serve streams of service "shell"' });
    const up = await edge.openStream({ service: "shell" });
    expect(await up.closed).toEqual({ reason: 'cloudcore does not serve streams of service "shell"' });
  });

  test("a node that is deleted loses its streams", async () => {
    await using linked = await startLinked();
    const { cloud, edge } = linked;
    edge.serve = echo;
    const stream = await cloud.openStream("edge-1", head);
    await cloud.closeNode("edge-1");
    expect(await stream.closed).toEqual({ reason: "deleted" });
  });

  test("a node that is not connected has no streams", async () => {
    await using cloud = await startHarness();
    await expect(cloud.openStream("edge-9", head)).rejects.toThrow('Node "edge-9" is not connected');
  });

  test("a cloud that is held back opens no streams and gets none", async () => {
    await using linked = await startLinked({ database: "first" });
    const { cloud, edge, link } = linked;
    edge.serve = echo;
    edge.store.cloud.write({ name: "other", other: null, heldSince: null });
    link.cut();
    await linked.up(2);
    const down = await cloud.openStream("edge-1", head);
    expect(await down.closed).toEqual({
      reason: "the node belongs to another database and holds this cloud back",
    });
    await expect(edge.openStream({ service: "kube-api" })).rejects.toThrow(
      "Cannot open a stream to the cloud: its database is not the one this node belongs to",
    );
  });
});

describe("streams of a node that talks by hand", () => {
  const connectRaw = async (harness: Harness, headers: Record<string, string>): Promise<RawNode> => {
    const pair = await clientPair(harness.authority, "system:node:edge-1");
    const raw = new RawNode(harness, pair, { node: "edge-1", headers });
    await raw.opened;
    await harness.until((events) => events.some(({ topic }) => topic === "connected"));
    return raw;
  };

  test("a node that did not announce streams gets none", async () => {
    await using harness = await startHarness();
    using _raw = await connectRaw(harness, {});
    await expect(harness.openStream("edge-1", head)).rejects.toThrow(
      'Cannot open a stream to node "edge-1": its edgecore has neither streams nor a tunnel',
    );
  });

  test("a frame that is none ends the session", async () => {
    await using harness = await startHarness();
    using raw = await connectRaw(harness, { "kubeedge-streams": "1" });
    const stream = await harness.openStream("edge-1", head);
    raw.raw(new Uint8Array([9, 0, 0, 0, 1]));
    expect(await raw.closed).toBe(1002);
    expect(await stream.closed).toEqual({ reason: "a binary frame that is no frame of a stream" });
  });

  test("a second edgecore under the name takes no stream over", async () => {
    await using harness = await startHarness();
    using older = await connectRaw(harness, { "kubeedge-streams": "1" });
    const stream = await harness.openStream("edge-1", head);
    using _newer = await connectRaw(harness, { "kubeedge-streams": "1" });
    expect(await stream.closed).toEqual({ reason: "the node connected again" });
    expect(await older.closed).toBe(closeCodes.duplicate);
  });
});
