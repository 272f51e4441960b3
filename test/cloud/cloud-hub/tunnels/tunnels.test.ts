import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  encodeChannel,
  encodeInputEnd,
  askPod,
  podStreamHead,
  readChannels,
  refusePod,
  type PodStreamRequest,
} from "#shared/pod-streams";
import { encodeBlock, fetchOver, type ByteStream } from "#shared/streams";
import {
  refuseWith,
  serveEcho,
  success,
} from "#internal/test/cloud/kube-api/server/pod-streams/pod-world.ts";
import {
  clientPair,
  RawNode,
  startHarness,
  type Harness,
} from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { KubeEdgeTunnel } from "./kubeedge-node.ts";
import { startKubelet, type TestKubelet } from "./kubelet.ts";

// Each test makes certificates and several connections with TLS.
setDefaultTimeout(30_000);

const target = { namespace: "default", name: "web", uid: "u1" };
const streams = { stdin: true, stdout: true, stderr: true, tty: false };
const exec: PodStreamRequest = {
  kind: "exec",
  ...target,
  container: "a",
  ...streams,
  command: ["cat", "a b&c"],
};

/** A node of KubeEdge: its link, its tunnel and its kubelet. */
interface World extends AsyncDisposable {
  readonly harness: Harness;
  readonly kubelet: TestKubelet;
  readonly tunnel: KubeEdgeTunnel;
  ask(request: PodStreamRequest): Promise<{ stream: ByteStream; fromNode: ReadableStream<Uint8Array> }>;
}

async function world(serve: Parameters<typeof startKubelet>[0] = serveEcho): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const harness = stack.use(await startHarness());
  const kubelet = stack.use(await startKubelet(serve));
  const pair = await clientPair(harness.authority, "system:node:edge-1");
  const link = stack.use(new RawNode(harness, pair, { node: "edge-1" }));
  await link.opened;
  const tunnel = stack.use(new KubeEdgeTunnel(harness, pair, { node: "edge-1", kubelet: kubelet.socket }));
  await tunnel.opened;
  const owned = stack.move();
  return {
    harness,
    kubelet,
    tunnel,
    ask: async (request) => {
      const stream = await harness.openStream("edge-1", podStreamHead(request));
      return { stream, fromNode: await askPod(stream) };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

describe("streams to pods of a KubeEdge node", () => {
  test("a log is read with its options, and ends", async () => {
    await using node = await world();
    const { fromNode } = await node.ask({
      kind: "logs",
      ...target,
      container: "a",
      tailLines: 2,
      timestamps: true,
    });
    expect(await new Response(fromNode).text()).toBe("line 1\nline 2\n");
    expect(node.kubelet.asked).toMatchObject([
      { kind: "logs", container: "a", tailLines: 2, timestamps: true },
    ]);
  });

  test("30 logs of 40 KiB arrive whole and apart, with bytes that are not UTF-8", async () => {
    const bytes = (index: number): Uint8Array => new Uint8Array(40_000).fill(0x80 + (index % 128));
    let turn = 0;
    await using node = await world(async (stream) => {
      const writer = stream.writable.getWriter();
      await writer.write(encodeBlock({ status: "Success" }));
      turn += 1;
      await writer.write(bytes(turn));
      await writer.close();
    });
    const got = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const { fromNode } = await node.ask({ kind: "logs", ...target, container: "a" });
        return new Uint8Array(await new Response(fromNode).arrayBuffer());
      }),
    );
    const firsts = got.map((one) => {
      expect(one).toEqual(new Uint8Array(40_000).fill(one[0] ?? 0));
      return one[0];
    });
    expect(new Set(firsts).size).toBe(30);
  });

  test("a process gets its command and its input to the end, and its outcome is sent", async () => {
    await using node = await world();
    const { stream, fromNode } = await node.ask(exec);
    const writer = stream.writable.getWriter();
    const frames = readChannels(fromNode);
    await writer.write(encodeChannel("stdin", Buffer.from("hello \u0080\u00ff")));
    const echoed = (await frames.next()).value;
    expect([echoed?.channel, Buffer.from(echoed?.bytes ?? []).toString()]).toEqual([
      "stdout",
      "hello \u0080\u00ff",
    ]);
    await writer.write(encodeInputEnd());
    const ended = (await frames.next()).value;
    expect([ended?.channel, Buffer.from(ended?.bytes ?? []).toString()]).toEqual([
      "error",
      JSON.stringify(success),
    ]);
    expect(node.kubelet.asked).toMatchObject([
      { kind: "exec", command: ["cat", "a b&c"], stdin: true, stderr: true },
    ]);
  });

  test("a terminal is resized", async () => {
    await using node = await world();
    const { stream, fromNode } = await node.ask({ ...exec, kind: "attach", stderr: false, tty: true });
    await stream.writable
      .getWriter()
      .write(encodeChannel("resize", Buffer.from('{"Width":80,"Height":24}\n')));
    const { value } = await readChannels(fromNode).next();
    expect(Buffer.from(value?.bytes ?? []).toString()).toBe('resized {"Width":80,"Height":24}');
    stream.reset("the test is over");
  });

  test("a port passes bytes in both directions", async () => {
    await using node = await world();
    const { stream, fromNode } = await node.ask({ kind: "port-forward", ...target, port: 8080 });
    const writer = stream.writable.getWriter();
    const sent = new Uint8Array(300_000).map((_, index) => index % 251);
    void writer.write(sent).then(() => writer.close());
    expect(new Uint8Array(await new Response(fromNode).arrayBuffer())).toEqual(sent);
    expect(node.kubelet.asked).toMatchObject([{ kind: "port-forward", port: 8080 }]);
  });

  test("a process whose kubelet does not say how it ended has not succeeded", async () => {
    await using node = await world(async (stream) => {
      const writer = stream.writable.getWriter();
      await writer.write(encodeBlock({ status: "Success" }));
      await writer.write(encodeChannel("error", new Uint8Array()));
      await writer.close();
    });
    const { stream, fromNode } = await node.ask(exec);
    expect(readChannels(fromNode).next()).rejects.toThrow("did not say how the process ended");
    expect((await stream.closed).reason).toContain("did not say how the process ended");
  });

  test("a refusal of the kubelet arrives with its code and text", async () => {
    await using node = await world(
      refuseWith(refusePod.badRequest('container "a" in pod "web" is waiting to start')),
    );
    const refused = {
      httpStatus: 400,
      reason: "BadRequest",
      message: 'container "a" in pod "web" is waiting to start',
    };
    expect(node.ask({ kind: "logs", ...target, container: "a" })).rejects.toMatchObject(refused);
    expect(node.ask(exec)).rejects.toMatchObject(refused);
    expect(node.ask({ kind: "logs", ...target, name: "none", container: "a" })).rejects.toMatchObject({
      httpStatus: 404,
      reason: "NotFound",
    });
  });

  test("a request to a server in a pod is refused with a response", async () => {
    await using node = await world();
    const proxied: PodStreamRequest = { kind: "proxy", ...target, scheme: "http", port: 80 };
    const head = { ...podStreamHead(proxied), method: "GET", path: "/", headers: [] };
    const answer = await fetchOver(await node.harness.openStream("edge-1", head), null);
    expect([answer.status, await answer.json()]).toMatchObject([503, { reason: "ServiceUnavailable" }]);
  });

  test("a client that leaves ends the connection at the node", async () => {
    await using node = await world();
    const { stream } = await node.ask(exec);
    const [atNode] = node.kubelet.open;
    stream.reset("the client has gone");
    expect((await atNode?.closed)?.reason).toBeString();
    expect((await node.tunnel.next(4)).id).toBe(1);
  });

  test("a tunnel that is lost ends its streams with the reason", async () => {
    await using node = await world();
    const { stream, fromNode } = await node.ask(exec);
    await node.tunnel[Symbol.asyncDispose]();
    expect(readChannels(fromNode).next()).rejects.toThrow("the tunnel is lost");
    expect((await stream.closed).reason).toContain("the tunnel is lost");
  });

  test("a node without a tunnel is said to have none", async () => {
    await using harness = await startHarness();
    const pair = await clientPair(harness.authority, "system:node:edge-1");
    using link = new RawNode(harness, pair, { node: "edge-1" });
    await link.opened;
    expect(harness.openStream("edge-1", podStreamHead(exec))).rejects.toThrow("modules.edgeStream");
  });

  test("a node that opens another tunnel is reached by that", async () => {
    await using node = await world();
    const pair = await clientPair(node.harness.authority, "system:node:edge-1");
    await using second = new KubeEdgeTunnel(node.harness, pair, {
      node: "edge-1",
      kubelet: node.kubelet.socket,
    });
    await node.tunnel.closed;
    expect(node.tunnel.endedFor).toBe("the node has opened another tunnel");
    const { fromNode } = await node.ask({ kind: "logs", ...target, container: "a" });
    expect(await new Response(fromNode).text()).toBe("line 1\nline 2\n");
    expect(second.got.map(({ type }) => type)).toContain(1);
  });
});
