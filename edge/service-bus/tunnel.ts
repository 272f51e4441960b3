import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { ByteStream } from "#shared/streams";
import type { HeaderFields } from "#shared/topics";
import { ServiceFailure } from "./failure.ts";
import type { LocalServices } from "./local-services.ts";
import type { CheckedRequest } from "./request.ts";

/** Servers on the same machine accept at once. */
const connectMs = 5000;

/**
 * Connects a stream with a WebSocket server on this node: after the handshake, which is written here, bytes pass in both
 * directions as they are, and the first that come back are the server's HTTP answer. Never rejects.
 */
export async function tunnel(
  stream: ByteStream,
  services: Pick<LocalServices, "check">,
  clock: Clock,
): Promise<void> {
  let socket: Socket | undefined;
  try {
    const { port, path, headers } = stream.head;
    const checked = services.check({
      port,
      method: "GET",
      path: typeof path === "string" ? path : "",
      headers: fieldsOf(headers),
    });
    socket = await dial(checked.port, clock);
    const opened = socket;
    void stream.closed.then(() => opened.destroy());
    socket.write(handshake(checked));
    // The types of Node and of the platform differ in their iterators alone.
    const server = Duplex.toWeb(socket) as unknown as ReadableWritable;
    await Promise.all([server.readable.pipeTo(stream.writable), stream.readable.pipeTo(server.writable)]);
  } catch (error) {
    if (!socket && error instanceof ServiceFailure) await answer(stream, error);
    else stream.reset(describeError(error));
    socket?.destroy();
  }
}

interface ReadableWritable {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

async function dial(port: number, clock: Clock): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  using _limit = clock.after(connectMs, () =>
    reject(
      new ServiceFailure("timeout", `the server on port ${port} of this node does not accept connections`),
    ),
  );
  socket.once("connect", resolve);
  socket.once("error", (error) =>
    reject(
      "code" in error && error.code === "ECONNREFUSED"
        ? new ServiceFailure("connection-refused", `nothing listens on port ${port} of this node`)
        : new ServiceFailure("connection-failed", describeError(error)),
    ),
  );
  try {
    await promise;
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Only what was checked is written: a header has neither CR nor LF in it. */
function handshake({ port, path, headers }: CheckedRequest): string {
  headers.delete("content-length");
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`;
}

async function answer(stream: ByteStream, failure: ServiceFailure): Promise<void> {
  const { status, headers, body } = failure.toReply();
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const head = new TextEncoder().encode(
    `HTTP/1.1 ${status} ${failure.reason}\r\nconnection: close\r\n${lines}\r\n`,
  );
  try {
    const writer = stream.writable.getWriter();
    await writer.write(head);
    await writer.write(body);
    await writer.close();
    // Until the caller ends it: a reset would discard the answer before it is read.
    for await (const _bytes of stream.readable);
  } catch {
    // The caller aborted first.
  }
}

function fieldsOf(headers: unknown): HeaderFields {
  if (!Array.isArray(headers)) return [];
  return headers.flatMap((entry: unknown) => {
    if (!Array.isArray(entry)) return [];
    const [name, value]: unknown[] = entry;
    return typeof name === "string" && typeof value === "string" ? [[name, value] as const] : [];
  });
}
