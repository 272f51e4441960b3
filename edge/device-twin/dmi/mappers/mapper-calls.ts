import type { Clock } from "#shared/clock";
import {
  decodeMessage,
  encodeMessage,
  GrpcClient,
  grpcCodeOf,
  grpcCodes,
  GrpcError,
  type Method,
} from "#shared/grpc";
import { withDeadline } from "#shared/lifecycle";

export type MapperMethod =
  | "RegisterDevice"
  | "UpdateDevice"
  | "RemoveDevice"
  | "CreateDeviceModel"
  | "UpdateDeviceModel"
  | "RemoveDeviceModel";

/** As KubeEdge's edgecore. */
const callMs = 10_000;

/** A mapper that does not answer now, as opposed to one that refuses. */
const away: ReadonlySet<number> = new Set([
  grpcCodes.unavailable,
  grpcCodes.cancelled,
  grpcCodes.deadlineExceeded,
]);

/** Calls a mapper at its socket. */
export class MapperCalls implements Disposable {
  readonly #client: GrpcClient;
  readonly #methods: ReadonlyMap<string, Method>;
  readonly #clock: Clock;

  constructor(address: string, methods: ReadonlyMap<string, Method>, clock: Clock) {
    this.#client = new GrpcClient(address.replace(/^unix:(\/\/)?/, ""));
    this.#methods = methods;
    this.#clock = clock;
  }

  /** @throws what `isAway` tells from a refusal; the reason of the signal */
  async call(name: MapperMethod, request: object, signal: AbortSignal): Promise<void> {
    const method = this.#methods.get(name);
    if (!method) throw new GrpcError(grpcCodes.unimplemented, `DMI has no method ${name}`);
    await withDeadline(this.#clock, { ms: callMs, what: `Cannot call ${name}`, signal }, async (abort) => {
      for await (const answer of this.#client.call(
        method.path,
        encodeMessage(method.request, request),
        abort,
      ))
        decodeMessage(method.answer, answer);
    });
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

/** Whether a mapper did not answer; otherwise it refused. */
export function isAway(thrown: unknown): boolean {
  const code = grpcCodeOf(thrown);
  return code === undefined || away.has(code);
}
