import type { Client, ClientReadableStream, ServiceError } from "@grpc/grpc-js";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import type { EngineCallOptions } from "#edge/runtime";
import { grpcCodeOf, grpcCodes, toRuntimeError } from "./error.ts";
import type { CriAnswer, CriMethod, CriRequest } from "./messages.ts";
import { loadSchema, type Schema } from "./schema.ts";

export interface CallOptions extends EngineCallOptions {
  /** Milliseconds; Infinity for none. Those of the connection by default. */
  readonly timeoutMs?: number;
}

export interface CallsOptions {
  readonly clock: Clock;
  /** For calls that the engine answers at once. */
  readonly timeoutMs: number;
}

/** The engine restarts within seconds, and pods wait for it. */
const reconnectMs = { first: 200, cap: 2000 } as const;
/** As kubelet's `maxMsgSize`. */
const mostBytes = 16 * 1024 * 1024;

/** A CRI engine and how it is called: each call has a deadline, and what it throws is one of our errors. */
export class CriCalls implements Disposable {
  readonly #client: Client;
  readonly #schema: Schema;
  readonly #options: CallsOptions;

  private constructor(client: Client, schema: Schema, options: CallsOptions) {
    this.#client = client;
    this.#schema = schema;
    this.#options = options;
  }

  /** Loads gRPC; contacts nothing. @param address `unix:///path` */
  static async open(address: string, options: CallsOptions): Promise<CriCalls> {
    const { Client, credentials } = await import("@grpc/grpc-js");
    const client = new Client(address, credentials.createInsecure(), {
      "grpc.initial_reconnect_backoff_ms": reconnectMs.first,
      "grpc.min_reconnect_backoff_ms": reconnectMs.first,
      "grpc.max_reconnect_backoff_ms": reconnectMs.cap,
      "grpc.max_receive_message_length": mostBytes,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_channelz": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.enable_retries": 0,
    });
    return new CriCalls(client, await loadSchema(), options);
  }

  get timeoutMs(): number {
    return this.#options.timeoutMs;
  }

  /** `what` completes "Cannot …". @throws UnavailableError, AppError with a RuntimeCode, or the reason of the signal */
  async call<M extends CriMethod>(
    what: string,
    method: M,
    request: CriRequest<M>,
    { signal, timeoutMs: ms = this.timeoutMs }: CallOptions = {},
  ): Promise<CriAnswer<M>> {
    const ask = (abort?: AbortSignal): Promise<CriAnswer<M>> => this.#ask(method, request, abort);
    try {
      if (!Number.isFinite(ms)) return await ask(signal);
      return await withDeadline(this.#options.clock, { ms, what: `Cannot ${what}`, signal }, ask);
    } catch (thrown) {
      signal?.throwIfAborted();
      throw toRuntimeError(what, thrown);
    }
  }

  async #ask<M extends CriMethod>(
    method: M,
    request: CriRequest<M>,
    signal: AbortSignal | undefined,
  ): Promise<CriAnswer<M>> {
    signal?.throwIfAborted();
    const { path, encode, decode } = this.#schema.method(method);
    const done = Promise.withResolvers<CriAnswer<M>>();
    const call = this.#client.makeUnaryRequest<CriRequest<M>, CriAnswer<M>>(
      path,
      encode,
      decode,
      request,
      (error: ServiceError | null, answer?: CriAnswer<M>) => {
        if (error || answer === undefined) done.reject(error ?? new Error("the engine sent no answer"));
        else done.resolve(answer);
      },
    );
    const abort = (): void => call.cancel();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await done.promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Undefined for what does not exist. */
  async find<M extends CriMethod>(
    what: string,
    method: M,
    request: CriRequest<M>,
    options?: CallOptions,
  ): Promise<CriAnswer<M> | undefined> {
    try {
      return await this.call(what, method, request, options);
    } catch (error) {
      if (error instanceof AppError && grpcCodeOf(error.cause) === grpcCodes.notFound) return undefined;
      throw error;
    }
  }

  /** The answers of the engine as they come; ends with the connection. @throws as `call` */
  async *stream<M extends CriMethod>(
    what: string,
    method: M,
    request: CriRequest<M>,
    signal: AbortSignal,
  ): AsyncGenerator<CriAnswer<M>> {
    const { path, encode, decode } = this.#schema.method(method);
    signal.throwIfAborted();
    const stream: ClientReadableStream<CriAnswer<M>> = this.#client.makeServerStreamRequest(
      path,
      encode,
      decode,
      request,
    );
    const abort = (): void => stream.cancel();
    signal.addEventListener("abort", abort, { once: true });
    try {
      const answers: AsyncIterable<CriAnswer<M>> = stream;
      yield* answers;
    } catch (thrown) {
      signal.throwIfAborted();
      throw toRuntimeError(what, thrown);
    } finally {
      signal.removeEventListener("abort", abort);
      stream.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
