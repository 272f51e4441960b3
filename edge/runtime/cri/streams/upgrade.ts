import { connect, type Socket } from "node:net";
import type { Clock } from "#shared/clock";
import { AppError, asError, UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import { SpdySession, type SpdyConnection } from "#shared/spdy";
import { connectionOfSocket } from "#shared/upgrades";
import type { RuntimeCode } from "#edge/runtime";

/** The engine's server is on this machine. */
const answerMs = 30_000;
const longestHead = 16 * 1024;
const longestRefusal = 1024;
const protocol = "v4.channel.k8s.io";

export interface StreamConnection extends Disposable {
  readonly session: SpdySession;
}

/**
 * Opens the streaming URL of an engine as SPDY/3.1, which can end the standard input alone; the WebSockets of engines up to
 * containerd 1.7 cannot. @throws UnavailableError, or AppError "engine-refused" with what the server answers
 */
export async function openStreams(
  url: string,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<StreamConnection> {
  const { protocol: scheme, hostname, port, pathname, search, host } = new URL(url);
  if (scheme !== "http:")
    throw refused(`its streams are at ${url}: set stream_enable_tls or enable_tls_streaming to false`);
  const socket = connect({ host: hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(port || 80) });
  try {
    const head = await withDeadline(clock, { ms: answerMs, what: "open a stream", signal }, (inner) =>
      upgrade(socket, `${pathname}${search}`, { host, signal: inner }),
    );
    const connection: SpdyConnection = connectionOfSocket(socket, head);
    const session = new SpdySession({ connection, mostStreams: 0 });
    void session.closed.then(() => socket.destroy());
    return { session, [Symbol.dispose]: () => void socket.destroy() };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** @returns what the server sent after its answer */
async function upgrade(
  socket: Socket,
  path: string,
  { host, signal }: { readonly host: string; readonly signal: AbortSignal },
): Promise<Uint8Array> {
  const abort = (): void => void socket.destroy(asError(signal.reason));
  signal.addEventListener("abort", abort, { once: true });
  try {
    socket.write(requestOf(path, host));
    const { head, rest } = await readHead(socket);
    const [, status = ""] = /^HTTP\/1\.1 (\d{3})/.exec(head) ?? [];
    if (status === "101") return rest;
    throw refused(`${status} ${Buffer.from(rest.subarray(0, longestRefusal)).toString().trim()}`);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function requestOf(path: string, host: string): string {
  const headers = [
    `Host: ${host}`,
    "Connection: Upgrade",
    "Upgrade: SPDY/3.1",
    `X-Stream-Protocol-Version: ${protocol}`,
    "Content-Length: 0",
  ];
  return `POST ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`;
}

async function readHead(socket: Socket): Promise<{ readonly head: string; readonly rest: Uint8Array }> {
  const done = Promise.withResolvers<{ readonly head: string; readonly rest: Uint8Array }>();
  let bytes: Uint8Array = new Uint8Array();
  const onData = (piece: Uint8Array): void => {
    bytes = Buffer.concat([bytes, piece]);
    const end = Buffer.from(bytes).indexOf("\r\n\r\n");
    if (end !== -1)
      done.resolve({ head: Buffer.from(bytes.subarray(0, end)).toString(), rest: bytes.subarray(end + 4) });
    else if (bytes.length > longestHead) done.reject(refused("an answer without an end"));
  };
  const onEnd = (): void => done.reject(away(new Error("the connection was closed")));
  const onError = (error: Error): void => done.reject(away(error));
  socket.on("data", onData).once("end", onEnd).on("error", onError);
  try {
    return await done.promise;
  } finally {
    socket.pause();
    // The listener for errors stays: readers and writers get them from the streams.
    socket.off("data", onData).off("end", onEnd);
  }
}

function away(cause: Error): UnavailableError {
  return new UnavailableError("engine-away", "Cannot open a stream: the container engine does not answer", {
    cause,
  });
}

function refused(why: string): AppError {
  return new AppError("engine-refused" satisfies RuntimeCode, `Cannot open a stream: ${why}`);
}
