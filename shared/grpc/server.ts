import {
  constants,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer as createSocketServer, type Server } from "node:net";
import type { Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { withPlainAuthority } from "./authority.ts";
import { decodeMessage } from "./decode.ts";
import type { Method } from "./definition.ts";
import { encodeMessage } from "./encode.ts";
import { messagesOf, withPrefix } from "./frames.ts";
import { grpcCodes, GrpcError } from "./status.ts";

/** A method with one request and one answer. */
export interface GrpcMethod {
  readonly method: Method;
  /**
   * @param request every field with its default, messages that are missing as null
   * @throws GrpcError, which the client gets; of anything else it gets the text with code "unknown"
   */
  readonly answer: (request: Readonly<Record<string, unknown>>) => Promise<object>;
}

export interface GrpcServerOptions {
  readonly methods: readonly GrpcMethod[];
  /** Connections at a time; those beyond are closed at once. */
  readonly mostConnections: number;
  readonly clock: Pick<Clock, "after">;
}

/** Requests of a connection at a time; a client waits with others. */
const mostCalls = 100;
/** Of a request; that of grpc-go. */
const mostRequestBytes = 4 * 1024 * 1024;
/** For a request to come in: it is on this machine. */
const requestMs = 30_000;

/** A server of gRPC (`PROTOCOL-HTTP2.md` of gRPC) on a unix socket. */
export class GrpcServer implements AsyncDisposable {
  readonly #http: Http2Server;
  readonly #server: Server;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #methods: ReadonlyMap<string, GrpcMethod>;
  readonly #clock: Pick<Clock, "after">;

  constructor({ methods, mostConnections, clock }: GrpcServerOptions) {
    this.#clock = clock;
    this.#methods = new Map(methods.map((one) => [one.method.path, one]));
    this.#http = createServer({ settings: { maxConcurrentStreams: mostCalls } });
    this.#http.on("session", (session) => {
      // Its streams have what is wrong with it.
      session.on("error", () => undefined);
      session.once("close", () => this.#sessions.delete(session));
      if (this.#sessions.size >= mostConnections) session.destroy();
      else this.#sessions.add(session);
    });
    this.#http.on("stream", (stream, headers) => void this.#serve(stream, headers));
    this.#server = createSocketServer((socket) => this.#http.emit("connection", withPlainAuthority(socket)));
  }

  /** Takes connections from now on. @throws what listening does */
  async listen(path: string): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#server.once("error", done.reject);
    this.#server.listen({ path }, done.resolve);
    await done.promise;
    this.#server.off("error", done.reject);
  }

  /** Ends the connections with what is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.destroy();
    await closed;
  }

  /** Never rejects. */
  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    // A client that is gone is no error.
    stream.on("error", () => undefined);
    using patience = this.#clock.after(requestMs, () => stream.close(constants.NGHTTP2_CANCEL));
    try {
      const path = headers[":path"] ?? "";
      const served = this.#methods.get(path);
      if (!served) throw new GrpcError(grpcCodes.unimplemented, `unknown method ${path}`);
      const request = decodeMessage(served.method.request, await requestOf(stream));
      patience[Symbol.dispose]();
      send(stream, encodeMessage(served.method.answer, await served.answer(request)));
    } catch (error) {
      refuse(stream, error);
    }
  }
}

async function requestOf(stream: ServerHttp2Stream): Promise<Uint8Array> {
  let request: Uint8Array | undefined;
  for await (const message of messagesOf(stream, mostRequestBytes)) request ??= message;
  if (!request) throw new GrpcError(grpcCodes.internal, "a call without a message");
  return request;
}

const head = { ":status": 200, "content-type": "application/grpc" } as const;

function send(stream: ServerHttp2Stream, message: Uint8Array): void {
  if (stream.destroyed) return;
  stream.respond(head, { waitForTrailers: true });
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(withPrefix(message));
}

function refuse(stream: ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed) return;
  const code = error instanceof GrpcError ? error.code : grpcCodes.unknown;
  const text = percentEncoded(asError(error).message.slice(0, 1000));
  stream.respond({ ...head, "grpc-status": String(code), "grpc-message": text }, { endStream: true });
}

/** All but the printable characters of ASCII. */
function percentEncoded(text: string): string {
  return text.toWellFormed().replaceAll(/[^\x20-\x24\x26-\x7e]+/g, encodeURIComponent);
}
