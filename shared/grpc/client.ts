import {
  connect as connectHttp2,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { asError } from "#shared/errors";
import { messagesOf, withPrefix } from "./frames.ts";
import { grpcCodes, GrpcError } from "./status.ts";

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
    const stream = requestOf(session, path);
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
    const opened = (this.#session ??= this.#open());
    try {
      return await opened;
    } catch (error) {
      this.#forget(opened);
      throw unavailable(error);
    }
  }

  #open(): Promise<ClientHttp2Session> {
    const opened: Promise<ClientHttp2Session> = connected(this.#path).then((socket) => {
      const session = connectHttp2("http://localhost", { createConnection: () => socket });
      const lost = (): void => this.#forget(opened);
      // Calls that are under way have it from their streams.
      session.on("error", lost).on("goaway", lost).on("close", lost);
      if (this.#isClosed) session.destroy();
      return session;
    });
    return opened;
  }

  /** There may be a newer one already. */
  #forget(session: Promise<ClientHttp2Session>): void {
    if (this.#session === session) this.#session = undefined;
  }
}

/** @throws GrpcError "unavailable" when the session has ended just now */
function requestOf(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  try {
    return session.request({
      ":method": "POST",
      ":path": path,
      ":authority": "localhost",
      "content-type": "application/grpc",
      te: "trailers",
    });
  } catch (error) {
    throw unavailable(error);
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
