import type { Clock } from "#shared/clock";
import {
  decodeMessage,
  encodeMessage,
  GrpcClient,
  GrpcError,
  grpcCodes,
  type Definition,
} from "#shared/grpc";
import { withDeadline } from "#shared/lifecycle";

export interface ReportedValue {
  readonly name: string;
  readonly value: string;
  readonly desired: string;
}

const callMs = 10_000;

/** Calls edgecore at its socket. */
export class EdgeLink implements Disposable {
  readonly #client: GrpcClient;
  readonly #methods: Definition["methods"];
  readonly #clock: Clock;

  constructor(socket: string, { methods }: Definition, clock: Clock) {
    this.#client = new GrpcClient(socket);
    this.#methods = methods;
    this.#clock = clock;
  }

  /** @throws GrpcError, UnavailableError */
  register(mapper: object, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    return this.#call("MapperRegister", { withData: true, mapper }, signal);
  }

  async report(key: string, values: readonly ReportedValue[], signal: AbortSignal): Promise<void> {
    const twins = values.map(({ name, value, desired }) => ({
      propertyName: name,
      observedDesired: { value: desired },
      reported: { value },
    }));
    await this.#call("ReportDeviceStatus", { ...nameOf(key), reportedDevice: { twins } }, signal);
  }

  async reportState(key: string, state: string, signal: AbortSignal): Promise<void> {
    await this.#call("ReportDeviceStates", { ...nameOf(key), state }, signal);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  #call(name: string, request: object, signal: AbortSignal): Promise<Readonly<Record<string, unknown>>> {
    const method = this.#methods.get(name);
    if (!method) throw new GrpcError(grpcCodes.unimplemented, `DMI has no method ${name}`);
    return withDeadline(this.#clock, { ms: callMs, what: `Cannot call ${name}`, signal }, async (abort) => {
      let answer: Record<string, unknown> = {};
      for await (const bytes of this.#client.call(method.path, encodeMessage(method.request, request), abort))
        answer = decodeMessage(method.answer, bytes);
      return answer;
    });
  }
}

function nameOf(key: string): { readonly deviceNamespace: string; readonly deviceName: string } {
  const slash = key.indexOf("/");
  return { deviceNamespace: key.slice(0, slash), deviceName: key.slice(slash + 1) };
}
