import { link } from "#internal/test/shared/streams/linked.ts";
import { adminToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { UnavailableError } from "#shared/errors";
import {
  encodeChannel,
  readChannels,
  readPodStreamHead,
  type PodRefusal,
  type PodStreamRequest,
} from "#shared/pod-streams";
import { encodeBlock, type ByteStream } from "#shared/streams";
import { WebSocket } from "ws";

/** An API server, and a node that answers as the test says. */
export interface PodWorld extends AsyncDisposable {
  readonly server: TestServer;
  /** What the node was asked. */
  readonly asked: PodStreamRequest[];
  /** Streams that are open at the node. */
  readonly open: Set<ByteStream>;
  /** A WebSocket of the administrator to a subresource of a pod. */
  socket(path: string, protocols: readonly string[], headers?: Readonly<Record<string, string>>): Socket;
  cut(): void;
}

export interface Socket extends AsyncDisposable {
  readonly socket: WebSocket;
  /** The next message: its first byte and the rest as text; or how it closed. */
  next(): Promise<readonly [number, string] | string>;
  send(channel: number, text: string | Uint8Array): void;
}

export async function podWorld(
  serve: (stream: ByteStream, request: PodStreamRequest) => Promise<void> = serveEcho,
): Promise<PodWorld> {
  await using stack = new AsyncDisposableStack();
  const { path: dataDir } = stack.use(tempDir());
  const linked = stack.use(await link());
  const server = stack.use(await startTestServer(dataDir));
  const asked: PodStreamRequest[] = [];
  const open = new Set<ByteStream>();
  void acceptAll(async () => {
    const stream = await linked.atNode();
    const request = readPodStreamHead(stream.head);
    asked.push(request);
    open.add(stream);
    void stream.closed.then(() => open.delete(stream));
    serve(stream, request).catch((error: unknown) => stream.reset(String(error)));
  });
  stack.use(
    server.api.reachNodes(async (node, head) => {
      if (node !== "edge-1") throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
      return linked.cloud.open(head);
    }),
  );
  await addPods(server);
  const owned = stack.move();
  return {
    server,
    asked,
    open,
    cut: () => linked.cut(),
    socket: (name, protocols, headers = {}) => openSocket(server, name, { protocols, headers }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function acceptAll(next: () => Promise<void>): Promise<never> {
  for (;;) await next();
}

async function addPods({ call }: TestServer): Promise<void> {
  const pods = "/api/v1/namespaces/default/pods";
  const container = (name: string): object => ({ name, image: "busybox:1" });
  const pod = (name: string, nodeName: string, ...containers: string[]): object => ({
    metadata: { name },
    spec: { nodeName, containers: containers.map(container), initContainers: [container("prepare")] },
  });
  await call("POST", pods, { metadata: { name: "waiting" }, spec: { containers: [container("a")] } });
  await call("POST", pods, pod("one", "edge-1", "a"));
  await call("POST", pods, pod("two", "edge-1", "a", "b"));
  await call("POST", pods, pod("away", "edge-2", "a"));
}

function openSocket(
  { api, caPem }: TestServer,
  path: string,
  {
    protocols,
    headers,
  }: { readonly protocols: readonly string[]; readonly headers: Readonly<Record<string, string>> },
): Socket {
  const url = `${api.url.replace("https", "wss")}/api/v1/namespaces/default/pods/${path}`;
  const socket = new WebSocket(url, [...protocols], {
    ca: caPem,
    headers: { authorization: `Bearer ${adminToken}`, ...headers },
    perMessageDeflate: false,
  });
  const seen = new TransformStream<readonly [number, string] | string>(undefined, undefined, {
    highWaterMark: 1000,
  });
  const writer = seen.writable.getWriter();
  const reader = seen.readable.getReader();
  socket.on("message", (data: Buffer | string) => {
    const bytes = Buffer.from(data as Buffer);
    void writer.write([bytes[0] ?? -1, bytes.subarray(1).toString()]);
  });
  socket.on("close", (code) => void writer.write(`closed ${code}`));
  socket.on("error", (error) => void writer.write(`error ${error.message}`));
  return {
    socket,
    next: async () => (await reader.read()).value ?? "end",
    send: (channel, text) => socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)])),
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => {
        socket.once("close", resolve);
      });
      if (socket.readyState === socket.CLOSED) return;
      socket.terminate();
      await closed;
    },
  };
}

export const success = { metadata: {}, status: "Success" };

/** Logs are two lines; a process answers with what it gets, and ends with its input; ports answer with what they get. */
export async function serveEcho(stream: ByteStream, request: PodStreamRequest): Promise<void> {
  const writer = stream.writable.getWriter();
  await writer.write(encodeBlock({ status: "Success" }));
  switch (request.kind) {
    case "logs":
      await writer.write(Buffer.from("line 1\nline 2\n"));
      break;
    case "port-forward":
      for await (const bytes of stream.readable) await writer.write(bytes);
      break;
    case "exec":
    case "attach":
      for await (const { channel, bytes } of readChannels(stream.readable))
        if (channel === "stdin") await writer.write(encodeChannel("stdout", bytes));
        else if (channel === "resize")
          await writer.write(encodeChannel("stdout", Buffer.concat([Buffer.from("resized "), bytes])));
        else {
          await writer.write(encodeChannel("error", Buffer.from(JSON.stringify(success))));
          await writer.close();
        }
      return;
    case "proxy":
      throw new Error("this node is not asked for it");
  }
  await writer.close();
}

/** A node that refuses everything. */
export function refuseWith(refusal: PodRefusal): (stream: ByteStream) => Promise<void> {
  return async (stream) => {
    const writer = stream.writable.getWriter();
    await writer.write(encodeBlock(refusal.toStatus()));
    await writer.close();
  };
}
