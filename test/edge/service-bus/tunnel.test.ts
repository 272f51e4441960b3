import { expect, test } from "bun:test";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import type { ByteStream } from "#shared/streams";
import { startBus } from "./bus-harness.ts";

const handshake: [string, string][] = [
  ["sec-websocket-version", "13"],
  ["sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="],
  ["x-drop", "no"],
  ["connection", "x-drop"],
];

async function echoServer(): Promise<AsyncDisposable & { readonly port: number; readonly seen: string[] }> {
  const http = createServer();
  const sockets = new WebSocketServer({ server: http });
  const seen: string[] = [];
  sockets.on("connection", (socket, request) => {
    seen.push(`${request.url ?? ""} ${String(request.headers["x-drop"])}`);
    socket.on("message", (data: Buffer) => socket.send(data.toString("utf8")));
  });
  await new Promise<void>((resolve) => void http.listen(0, "127.0.0.1", resolve));
  const place = http.address();
  return {
    port: typeof place === "object" && place ? place.port : 0,
    seen,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets.clients) socket.terminate();
      await new Promise<void>((resolve) => void http.close(() => resolve()));
    },
  };
}

/** Reads until the text is there. */
async function readUntil(stream: ByteStream, end: string): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  const reader = stream.readable.getReader();
  while (!bytes.includes(end)) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes = Buffer.concat([bytes, value]);
  }
  reader.releaseLock();
  return bytes;
}

/** A masked text frame of a client (RFC 6455, 5.2). */
function frameOf(text: string): Uint8Array {
  const mask = [1, 2, 3, 4];
  const bytes = [...Buffer.from(text)].map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return new Uint8Array([0x81, 0x80 | bytes.length, ...mask, ...bytes]);
}

test("a WebSocket of a server on the node passes through, in both directions", async () => {
  await using server = await echoServer();
  await using bus = await startBus({ allowedPorts: [server.port] });
  const stream = bus.open({ port: server.port, path: "/live?a=b", headers: handshake, upgrade: "websocket" });
  const head = await readUntil(stream, "\r\n\r\n");
  expect(head.toString()).toStartWith("HTTP/1.1 101 ");
  expect(head.toString()).toContain("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const writer = stream.writable.getWriter();
  await writer.write(frameOf("hello"));
  const echoed = await readUntil(stream, "hello");
  expect([echoed[0], echoed[1], echoed.subarray(2).toString()]).toEqual([0x81, 5, "hello"]);
  expect(server.seen).toEqual(["/live?a=b undefined"]);
  stream.reset("done");
});

test("a handshake for a port that is not allowed is answered by the node", async () => {
  await using server = await echoServer();
  await using bus = await startBus();
  const stream = bus.open({ port: server.port, path: "/", headers: handshake, upgrade: "websocket" });
  const text = (await readUntil(stream, "port-not-allowed")).toString();
  expect(text).toStartWith("HTTP/1.1 403 ");
  expect(server.seen).toEqual([]);
});

test("a server that ends its connection ends the stream", async () => {
  const server = await echoServer();
  await using bus = await startBus({ allowedPorts: [server.port] });
  const stream = bus.open({ port: server.port, path: "/", headers: handshake, upgrade: "websocket" });
  await readUntil(stream, "\r\n\r\n");
  await server[Symbol.asyncDispose]();
  const ended = await stream.readable
    .getReader()
    .read()
    .then(
      ({ done }) => (done ? "ended" : "more"),
      () => "ended",
    );
  expect(ended).toBe("ended");
  stream.reset("done");
});
