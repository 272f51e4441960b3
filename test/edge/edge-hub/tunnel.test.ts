import { expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type Server } from "node:https";
import { WebSocketServer, type WebSocket } from "ws";
import { KubeletServer, TunnelKeeper } from "#edge/edge-hub/tunnel";
import { systemClock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import {
  askPod,
  encodeChannel,
  encodeInputEnd,
  podStreamHead,
  readChannels,
  readPodStreamHead,
  type PodStreamRequest,
} from "#shared/pod-streams";
import { createAuthority } from "#shared/pki";
import { clientPair, RawNode, startHarness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { serveEcho, success } from "#internal/test/cloud/kube-api/server/pod-streams/pod-world.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

// Each test makes certificates and several connections with TLS.
setDefaultTimeout(30_000);

const pod = {
  metadata: { namespace: "default", name: "web", uid: "u1" },
  spec: { nodeName: "edge-1", containers: [{ name: "a", image: "busybox" }] },
} as unknown as Pod;

function kubelet(): KubeletServer {
  return new KubeletServer({
    listPods: async () => [pod],
    serve: async (stream) => {
      serveEcho(stream, readPodStreamHead(stream.head)).catch((error: unknown) =>
        stream.reset(String(error)),
      );
      return undefined;
    },
    figures: async (part) => (part === "resource" ? "node_cpu_usage_seconds_total 1\n" : undefined),
    clock: systemClock,
    log: silentLog(),
  });
}

interface TestCloud extends AsyncDisposable {
  readonly keeper: TunnelKeeper;
  /** The headers by which the node opened the tunnel, and its WebSocket. */
  readonly opened: Promise<{ readonly headers: Record<string, unknown>; readonly socket: WebSocket }>;
}

/** A cloudstream that speaks bytes, and a node that opens its tunnel to it. */
async function startCloud(): Promise<TestCloud> {
  await using stack = new AsyncDisposableStack();
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "ca", days: 1, nowMs });
  const subject = { commonName: "cloudcore" };
  const pair = await authority.issue({ subject, hosts: ["127.0.0.1"], usage: "server", days: 1, nowMs });
  const https = createServer({ ...pair, ca: authority.certPem, requestCert: true, rejectUnauthorized: true });
  const server = new WebSocketServer({ server: https, skipUTF8Validation: true, perMessageDeflate: false });
  const opened = Promise.withResolvers<Awaited<TestCloud["opened"]>>();
  server.on("connection", (socket, { headers, url }) =>
    opened.resolve({ headers: { ...headers, url }, socket }),
  );
  const port = await listen(https);
  stack.defer(() => stop(https, server));
  const client = await clientPair(authority, "system:node:edge-1");
  const keeper = stack.use(
    new TunnelKeeper({
      url: `wss://127.0.0.1:${port}/v1/kubeedge/connect`,
      node: "edge-1",
      nodeIp: "10.0.0.5",
      handshakeTimeoutMs: 5000,
      credentials: async () => ({ ca: authority.certPem, ...client }),
      server: kubelet(),
      clock: systemClock,
      log: silentLog(),
    }),
  );
  const owned = stack.move();
  return { keeper, opened: opened.promise, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function stop(https: Server, server: WebSocketServer): Promise<void> {
  for (const socket of server.clients) socket.terminate();
  server.close();
  await new Promise<void>((resolve) => void https.close(() => resolve()));
}

/** As KubeEdge 1.15 asks, in the fields of Go's `url.URL`. */
function connect(path: string, query: string, header: Record<string, readonly string[]> = {}): Buffer {
  const url = {
    Scheme: "http",
    Opaque: "",
    User: null,
    Host: "127.0.0.1:10350",
    Path: path,
    RawPath: "",
    OmitHost: false,
    ForceQuery: false,
    RawQuery: query,
    Fragment: "",
    RawFragment: "",
  };
  return Buffer.from(JSON.stringify({ MessID: 200, url, header }));
}

/** The text of the data of connection 200, until the node ends it. All frames have to be text. */
async function answerTo(socket: WebSocket, message: Buffer): Promise<string> {
  const ended = Promise.withResolvers<string>();
  let text = "";
  socket.on("message", (data: Buffer, isBinary) => {
    if (isBinary || data[0] !== 0xc8 || data[1] !== 1)
      return ended.reject(new Error("another frame was expected"));
    if (data[2] === 4) return ended.resolve(text);
    text += data.subarray(3).toString("latin1");
  });
  socket.send(message, { binary: false });
  return ended.promise;
}

const id200 = Buffer.of(0xc8, 1);

test("the node names itself to a cloud of KubeEdge, and answers its request for a log", async () => {
  await using cloud = await startCloud();
  cloud.keeper.open();
  const { headers, socket } = await cloud.opened;
  expect(headers).toMatchObject({
    url: "/v1/kubeedge/connect",
    sessionhostnameoverride: "edge-1",
    sessioninternalip: "10.0.0.5",
  });
  const log = connect("/containerLogs/default/web/a", "follow=true&tailLines=5", { Accept: ["*/*"] });
  const answer = await answerTo(socket, Buffer.concat([id200, Buffer.of(0), log]));
  expect(answer).toBe("line 1\nline 2\n");
});

test("figures are answered", async () => {
  await using cloud = await startCloud();
  cloud.keeper.open();
  const { socket } = await cloud.opened;
  const asked = Buffer.concat([id200, Buffer.of(2), connect("/metrics/resource", "")]);
  expect(await answerTo(socket, asked)).toBe("node_cpu_usage_seconds_total 1\n");
});

test("a request for what is not there gets the text of a kubelet", async () => {
  await using cloud = await startCloud();
  cloud.keeper.open();
  const { socket } = await cloud.opened;
  const asked = connect("/exec/default/none/a", "command=ls&output=1", {
    Connection: ["Upgrade"],
    Upgrade: ["SPDY/3.1"],
  });
  const answer = await answerTo(socket, Buffer.concat([id200, Buffer.of(1), asked]));
  expect(answer).toStartWith("HTTP/1.1 404 Not Found\r\n");
  expect(answer).toEndWith("pod does not exist\n");
});

test("the tunnel ends with the link, and is opened again with it", async () => {
  await using harness = await startHarness();
  const pair = await clientPair(harness.authority, "system:node:edge-1");
  using link = new RawNode(harness, pair, { node: "edge-1" });
  await link.opened;
  const log = silentLog();
  await using keeper = new TunnelKeeper({
    url: `wss://127.0.0.1:${harness.hub.tunnelPort}/v1/kubeedge/connect`,
    node: "edge-1",
    nodeIp: undefined,
    handshakeTimeoutMs: 5000,
    credentials: async () => ({ ca: harness.authority.certPem, ...pair }),
    server: kubelet(),
    clock: systemClock,
    log,
  });
  const ask = async (
    request: PodStreamRequest,
  ): Promise<Awaited<ReturnType<Awaited<typeof harness>["openStream"]>>> =>
    harness.openStream("edge-1", podStreamHead(request));
  const until = async (text: string): Promise<void> => {
    while (!harness.log.lines.some((line) => line.includes(text))) await systemClock.sleep(5);
  };
  keeper.open();
  await until("a node has opened its tunnel");
  const target = { namespace: "default", name: "web", uid: "u1", container: "a" };
  const stream = await ask({
    kind: "exec",
    ...target,
    stdin: true,
    stdout: true,
    stderr: false,
    tty: false,
    command: ["cat"],
  });
  const frames = readChannels(await askPod(stream));
  const writer = stream.writable.getWriter();
  await writer.write(encodeChannel("stdin", Buffer.from("hello")));
  expect((await frames.next()).value).toMatchObject({ channel: "stdout" });
  await writer.write(encodeInputEnd());
  expect(Buffer.from((await frames.next()).value?.bytes ?? []).toString()).toBe(JSON.stringify(success));
  keeper.close();
  await until("the tunnel of a node is closed");
  keeper.open();
  for (;;) {
    const again = await ask({ kind: "logs", ...target })
      .then(askPod)
      .catch(() => undefined);
    if (again) break;
    await systemClock.sleep(20);
  }
});
