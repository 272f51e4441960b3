import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { askPod, podStreamHead, type PodStreamRequest } from "#shared/pod-streams";
import { encodeBlock, type ByteStream } from "#shared/streams";
import { createAuthority } from "#shared/pki";
import {
  clientPair,
  RawNode,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { serveEcho } from "#internal/test/cloud/kube-api/server/pod-streams/pod-world.ts";
import { KubeEdgeTunnel } from "#internal/test/cloud/cloud-hub/tunnels/kubeedge-node.ts";
import { startKubelet } from "#internal/test/cloud/cloud-hub/tunnels/kubelet.ts";

// Each test makes certificates and several connections with TLS.
setDefaultTimeout(30_000);

const log: PodStreamRequest = { kind: "logs", namespace: "default", name: "web", container: "a" };

async function read(harness: Harness, request = log): Promise<ReadableStream<Uint8Array>> {
  return askPod(await harness.openStream("edge-1", podStreamHead(request)));
}

/** A node with its link, and a tunnel whose kubelet is at `kubelet`. */
async function node(
  harness: Harness,
  kubelet: string,
  name = "edge-1",
): Promise<AsyncDisposable & { readonly tunnel: KubeEdgeTunnel }> {
  await using stack = new AsyncDisposableStack();
  const pair = await clientPair(harness.authority, `system:node:${name}`);
  await stack.use(new RawNode(harness, pair, { node: name })).opened;
  const tunnel = stack.use(new KubeEdgeTunnel(harness, pair, { node: name, kubelet }));
  await tunnel.opened;
  const owned = stack.move();
  return { tunnel, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("who may open a tunnel", () => {
  test("a peer without a certificate, or with one of another CA, may not", async () => {
    await using harness = await startHarness();
    await using none = new KubeEdgeTunnel(harness, {}, { node: "edge-1" });
    expect(none.opened).rejects.toThrow();
    await none.closed;
    const other = await createAuthority({ commonName: "other", days: 1, nowMs: Date.now() });
    await using forged = new KubeEdgeTunnel(harness, await clientPair(other, "system:node:edge-1"), {
      node: "edge-1",
    });
    expect(forged.opened).rejects.toThrow();
    await forged.closed;
  });

  test("a node may not open the tunnel of another one, and does not end it", async () => {
    await using harness = await startHarness();
    await using kubelet = await startKubelet(serveEcho);
    await using _victim = await node(harness, kubelet.socket);
    const pair = await clientPair(harness.authority, "system:node:edge-2");
    await using thief = new KubeEdgeTunnel(harness, pair, { node: "edge-1" });
    expect(thief.opened).rejects.toThrow("403");
    await thief.closed;
    expect(await new Response(await read(harness)).text()).toBe("line 1\nline 2\n");
  });

  test("a node that is deleted loses its tunnel", async () => {
    await using harness = await startHarness();
    await using edge = await node(harness, "");
    await harness.closeNode("edge-1");
    await edge.tunnel.closed;
    expect(edge.tunnel.endedFor).toBe("deleted");
  });

  test("names that are no names of nodes are refused", async () => {
    await using harness = await startHarness();
    const pair = await clientPair(harness.authority, "system:node:edge-1");
    for (const name of ["", "../edge-1", "Edge_1"]) {
      await using tunnel = new KubeEdgeTunnel(harness, pair, { node: name });
      expect(tunnel.opened).rejects.toThrow("400");
      await tunnel.closed;
    }
  });
});

describe("what a tunnel may send", () => {
  test("unknown types, unknown connections, and those that only the cloud may open, change nothing", async () => {
    await using harness = await startHarness();
    await using kubelet = await startKubelet(serveEcho);
    await using edge = await node(harness, kubelet.socket);
    for (const type of [0, 1, 2, 6, 7, 300, 2 ** 40]) edge.tunnel.send(9, type, Buffer.from('{"MessID":9}'));
    for (const id of [0, 77, 2 ** 50]) {
      edge.tunnel.send(id, 3, Buffer.from("data"));
      edge.tunnel.send(id, 4);
    }
    edge.tunnel.send(500, 3, Buffer.from("data"), true);
    expect(await new Response(await read(harness)).text()).toBe("line 1\nline 2\n");
  });

  test.each([
    ["an empty one", new Uint8Array()],
    ["a number that does not end", new Uint8Array(20).fill(0xff)],
    ["a number without a type", Uint8Array.of(5)],
  ])("a frame that is damaged (%s) ends the tunnel, and cloudcore goes on", async (_what, frame) => {
    await using harness = await startHarness();
    await using edge = await node(harness, "");
    edge.tunnel.raw(frame);
    expect(await edge.tunnel.closed).toBe(1002);
    await using kubelet = await startKubelet(serveEcho);
    await using again = await node(harness, kubelet.socket);
    expect(await new Response(await read(harness)).text()).toBe("line 1\nline 2\n");
    expect(again.tunnel.endedFor).toBeUndefined();
  });

  test("a frame of more than 1 MiB ends the tunnel", async () => {
    await using harness = await startHarness();
    await using edge = await node(harness, "");
    edge.tunnel.send(1, 3, new Uint8Array(1024 * 1024 + 1));
    expect([1006, 1009]).toContain(await edge.tunnel.closed);
  });

  test.each([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n\r\n"],
    ["a head without an end", "HTTP/1.1 200 OK\r\n".padEnd(40_000, "x")],
    ["a chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n"],
    ["a body that is cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"],
  ])("an answer of a kubelet that is none (%s) is an error, and not a log", async (_what, text) => {
    await using harness = await startHarness();
    await using edge = await node(harness, "");
    const asked = harness
      .openStream("edge-1", podStreamHead(log))
      .then(async (stream) => new Response(await askPod(stream)).text());
    const { id } = await edge.tunnel.next(1);
    edge.tunnel.send(id, 3, Buffer.from(text));
    edge.tunnel.send(id, 4);
    expect(asked).rejects.toThrow();
    await asked.catch(() => undefined);
  });
});

describe("many and slow readers", () => {
  test("connections of one tunnel are bounded", async () => {
    await using harness = await startHarness();
    await using _edge = await node(harness, "");
    const open: ByteStream[] = [];
    for (let count = 0; count < 256; count += 1)
      open.push(await harness.openStream("edge-1", podStreamHead(log)));
    await _edge.tunnel.next(1);
    expect(read(harness)).rejects.toThrow("256 connections already");
    for (const stream of open) stream.reset("the test is over");
  });

  test("a reader that stalls holds up the others of its node for a while, and is ended then", async () => {
    await using harness = await startHarness();
    const piece = new Uint8Array(64 * 1024);
    await using kubelet = await startKubelet(async (stream, request) => {
      const writer = stream.writable.getWriter();
      await writer.write(encodeBlock({ status: "Success" }));
      if (request.kind !== "logs" || request.follow !== true) return writer.close();
      for (;;) await writer.write(piece.slice());
    });
    await using _edge = await node(harness, kubelet.socket);
    const stalled = await harness.openStream("edge-1", podStreamHead({ ...log, follow: true }));
    await askPod(stalled);
    expect(await new Response(await read(harness)).text()).toBe("");
    expect((await stalled.closed).reason).toContain("held up the others");
  }, 60_000);
});
