import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { asError } from "#shared/errors";
import { grpcCodes, GrpcError } from "./error.ts";

/** As kubelet's `maxMsgSize`. */
const mostBytes = 16 * 1024 * 1024;
const prefixBytes = 5;

/**
 * A client of gRPC on a unix socket (`PROTOCOL-HTTP2.md` of gRPC), for calls with one request and answers without compression. It
 * connects when it is needed, and again after the connection was lost.
 */
export class GrpcClient implements Disposable {
  readonly #path: string;
  #session: Promise<ClientHttp2Session> | undefined;
  #isClosed = false;

  /** @param path of the socket */
  constructor(path: string) {
    this.#path = path;
  }

  /** The messages of the answer as they come. @throws GrpcError; the reason of the signal when it is aborted */
  async *call(
    path: string,
    message: Uint8Array,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    signal?.throwIfAborted();
    const session = await this.#connect();
    signal?.throwIfAborted();
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      ":authority": "localhost",
      "content-type": "application/grpc",
      te: "trailers",
    });
    const abort = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal?.addEventListener("abort", abort, { once: true });
    const outcome = outcomeOf(stream);
    try {
      stream.end(withPrefix(message));
      yield* messagesOf(stream);
      const failure = failureOf(await outcome);
      if (failure) throw failure;
    } catch (thrown) {
      signal?.throwIfAborted();
      throw thrown instanceof GrpcError ? thrown : unavailable(thrown);
    } finally {
      signal?.removeEventListener("abort", abort);
      abort();
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    void this.#session?.then(
      (session) => session.destroy(),
      () => undefined,
    );
  }

  async #connect(): Promise<ClientHttp2Session> {
    if (this.#isClosed) throw unavailable(new Error("the client was closed"));
    this.#session ??= this.#open();
    try {
      return await this.#session;
    } catch (error) {
      this.#session = undefined;
      throw unavailable(error);
    }
  }

  async #open(): Promise<ClientHttp2Session> {
    const socket = await connected(this.#path);
    const session = connectHttp2("http://localhost", { createConnection: () => socket });
    const lost = (): void => void (this.#session = undefined);
    // Calls that are under way have it from their streams.
    session.on("error", lost).on("goaway", lost).on("close", lost);
    if (this.#isClosed) session.destroy();
    return session;
  }
}

async function connected(path: string): Promise<Socket> {
  const done = Promise.withResolvers<void>();
  const socket = connectSocket({ path });
  socket.once("connect", done.resolve).once("error", done.reject);
  await done.promise;
  return socket;
}

interface Outcome {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
}

/** Never rejects. */
function outcomeOf(stream: ClientHttp2Stream): Promise<Outcome> {
  const done = Promise.withResolvers<Outcome>();
  let headers: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  stream.on("response", (given) => (headers = given));
  stream.on("trailers", (given) => (trailers = given));
  stream.once("close", () => done.resolve({ headers, trailers }));
  return done.promise;
}

/** An answer without a message has its status in the first headers. */
function failureOf({ headers, trailers }: Outcome): GrpcError | undefined {
  const status = trailers["grpc-status"] ?? headers["grpc-status"];
  if (status === undefined) return unavailable(new Error("the answer has no end"));
  const message = String(trailers["grpc-message"] ?? headers["grpc-message"] ?? "");
  return Number(status) === 0 ? undefined : new GrpcError(Number(status), percentDecoded(message));
}

/** Each message has a prefix: whether it is compressed, and its length in 32 bits, big-endian. */
async function* messagesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let rest: Uint8Array = new Uint8Array();
  for await (const bytes of stream) {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      const size = sizeOf(rest);
      if (size === undefined || rest.length < prefixBytes + size) break;
      yield rest.subarray(prefixBytes, prefixBytes + size);
      rest = rest.subarray(prefixBytes + size);
    }
  }
}

function sizeOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < prefixBytes) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (bytes[0] !== 0 || size > mostBytes)
    throw new GrpcError(grpcCodes.internal, `a message of ${size} bytes, at most ${mostBytes} are taken`);
  return size;
}

function withPrefix(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(prefixBytes + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, prefixBytes);
  return bytes;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function unavailable(cause: unknown): GrpcError {
  return new GrpcError(grpcCodes.unavailable, asError(cause).message);
}
