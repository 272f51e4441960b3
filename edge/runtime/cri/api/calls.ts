import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import {
  decodeMessage,
  encodeMessage,
  grpcCodeOf,
  grpcCodes,
  GrpcClient,
  GrpcError,
  readDefinition,
  type Method,
} from "#shared/grpc";
import { withDeadline } from "#shared/lifecycle";
import type { EngineCallOptions } from "#edge/runtime";
import { toRuntimeError } from "./error.ts";
import type { CriAnswer, CriMethod, CriRequest } from "./messages.ts";
import definitionText from "./api.proto.txt" with { type: "text" };

export interface CallOptions extends EngineCallOptions {
  /** Milliseconds; Infinity for none. Those of the connection by default. */
  readonly timeoutMs?: number;
}

export interface CallsOptions {
  readonly clock: Clock;
  /** For calls that the engine answers at once. */
  readonly timeoutMs: number;
}

/** A CRI engine and how it is called: each call has a deadline, and what it throws is one of our errors. */
export class CriCalls implements Disposable {
  readonly #client: GrpcClient;
  readonly #options: CallsOptions;
  readonly #methods = readDefinition(definitionText).methods;

  /** Contacts nothing. @param address `unix:///path` */
  constructor(address: string, options: CallsOptions) {
    this.#client = new GrpcClient(address.replace(/^unix:\/\//, ""));
    this.#options = options;
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
    name: M,
    request: CriRequest<M>,
    signal: AbortSignal | undefined,
  ): Promise<CriAnswer<M>> {
    let answer: CriAnswer<M> | undefined;
    for await (const one of this.#answers(name, request, signal)) answer = one;
    if (answer === undefined) throw new GrpcError(grpcCodes.internal, "the engine sent no answer");
    return answer;
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
    try {
      yield* this.#answers(method, request, signal);
    } catch (thrown) {
      signal.throwIfAborted();
      throw toRuntimeError(what, thrown);
    }
  }

  async *#answers<M extends CriMethod>(
    name: M,
    request: CriRequest<M>,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<CriAnswer<M>> {
    const { path, request: asked, answer } = this.#method(name);
    for await (const bytes of this.#client.call(path, encodeMessage(asked, request), signal))
      // `messages.ts` has the fields of the definition.
      yield decodeMessage(answer, bytes) as CriAnswer<M>;
  }

  #method(name: CriMethod): Method {
    const method = this.#methods.get(name);
    if (!method) throw new Error(`api.proto.txt has no method ${name}`);
    return method;
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}
