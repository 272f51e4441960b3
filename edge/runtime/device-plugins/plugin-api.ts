import type { Client, ServiceError } from "@grpc/grpc-js";
import type { Root } from "protobufjs";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import apiText from "./api.proto.txt" with { type: "text" };

/** A plugin that wants to serve a resource. */
export interface Registration {
  readonly version: string;
  /** Name of its socket, in the folder of the plugins. */
  readonly endpoint: string;
  readonly resourceName: string;
}

export interface PluginDevice {
  readonly ID: string;
  /** "Healthy" or anything else */
  readonly health: string;
}

export interface PluginOptions {
  readonly preStartRequired: boolean;
  readonly getPreferredAllocationAvailable: boolean;
}

/** What a container needs to use its devices. */
export interface AllocatedContainer {
  readonly envs: Readonly<Record<string, string>>;
  readonly mounts: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly readOnly: boolean;
  }[];
  readonly devices: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions: string;
  }[];
}

/** A device plugin, as kubelet calls it (k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1). Calls have a deadline. */
export interface PluginClient extends Disposable {
  options(): Promise<PluginOptions>;
  /** Its devices, as often as they change, until it ends or the signal. */
  watch(signal: AbortSignal): AsyncGenerator<readonly PluginDevice[]>;
  prefer(
    available: readonly string[],
    mustInclude: readonly string[],
    count: number,
  ): Promise<readonly string[]>;
  allocate(ids: readonly string[]): Promise<AllocatedContainer>;
  preStart(ids: readonly string[]): Promise<void>;
}

export interface PluginApi {
  /** Takes registrations at a socket. @param onRegister throws why not */
  serve(socket: string, onRegister: (registration: Registration) => void): Promise<AsyncDisposable>;
  connect(socket: string): PluginClient;
}

/** kubelet: pluginNotificationTimeout. */
const callMs = 30_000;
const asObjects = { longs: Number, enums: String, defaults: true, arrays: true, objects: true } as const;

/** Loads gRPC, which takes some megabytes: only where there are plugins. */
export async function loadPluginApi(clock: Clock): Promise<PluginApi> {
  const [grpc, { parse }] = await Promise.all([import("@grpc/grpc-js"), import("protobufjs")]);
  const { root } = parse(apiText);
  return {
    serve: async (socket, onRegister) => {
      const server = new grpc.Server();
      const { path, encode, decode } = methodOf(root, "Registration", "Register");
      const definition = {
        Register: {
          path,
          requestStream: false,
          responseStream: false,
          requestSerialize: encode.request,
          requestDeserialize: decode.request,
          responseSerialize: encode.answer,
          responseDeserialize: decode.answer,
        },
      };
      server.addService(definition, {
        Register: (
          call: { readonly request: Registration },
          done: (error: Partial<ServiceError> | null, answer?: object) => void,
        ) => {
          try {
            onRegister(call.request);
            done(null, {});
          } catch (error) {
            const details = error instanceof Error ? error.message : String(error);
            done({ code: grpc.status.INVALID_ARGUMENT, details });
          }
        },
      });
      await new Promise<void>((resolve, reject) => {
        const bound = (error: Error | null): void => (error ? reject(error) : resolve());
        server.bindAsync(`unix://${socket}`, grpc.ServerCredentials.createInsecure(), bound);
      });
      return { [Symbol.asyncDispose]: async () => server.forceShutdown() };
    },
    connect: (socket) => {
      const options = { "grpc.enable_http_proxy": 0, "grpc.enable_retries": 0 };
      const client = new grpc.Client(`unix://${socket}`, grpc.credentials.createInsecure(), options);
      return new GrpcPlugin(client, root, clock);
    },
  };
}

class GrpcPlugin implements PluginClient {
  readonly #client: Client;
  readonly #root: Root;
  readonly #clock: Clock;
  readonly #closed = new AbortController();

  constructor(client: Client, root: Root, clock: Clock) {
    this.#client = client;
    this.#root = root;
    this.#clock = clock;
  }

  // The shapes of all answers are those of api.proto.txt, every field present.
  async options(): Promise<PluginOptions> {
    return (await this.#call("GetDevicePluginOptions", {})) as PluginOptions;
  }

  async *watch(signal: AbortSignal): AsyncGenerator<readonly PluginDevice[]> {
    const { path, encode, decode } = methodOf(this.#root, "DevicePlugin", "ListAndWatch");
    const stream = this.#client.makeServerStreamRequest(path, encode.request, decode.answer, {});
    const abort = (): void => stream.cancel();
    signal.addEventListener("abort", abort, { once: true });
    try {
      for await (const answer of stream) yield (answer as { devices: PluginDevice[] }).devices;
    } finally {
      signal.removeEventListener("abort", abort);
      stream.cancel();
    }
  }

  async prefer(
    available: readonly string[],
    mustInclude: readonly string[],
    count: number,
  ): Promise<readonly string[]> {
    const request = {
      availableDeviceIDs: available,
      mustIncludeDeviceIDs: mustInclude,
      allocationSize: count,
    };
    const answer = await this.#call("GetPreferredAllocation", { containerRequests: [request] });
    const { containerResponses } = answer as { containerResponses: { deviceIDs: string[] }[] };
    return containerResponses[0]?.deviceIDs ?? [];
  }

  async allocate(ids: readonly string[]): Promise<AllocatedContainer> {
    const answer = await this.#call("Allocate", { containerRequests: [{ devicesIDs: ids }] });
    const [container] = (answer as { containerResponses: AllocatedContainer[] }).containerResponses;
    if (!container) throw new AppError("device-plugin", "no containers in the answer of Allocate");
    return container;
  }

  async preStart(ids: readonly string[]): Promise<void> {
    await this.#call("PreStartContainer", { devicesIDs: ids });
  }

  /** Ends what it is asked for now. */
  [Symbol.dispose](): void {
    this.#closed.abort(new AppError("device-plugin", "the plugin is not used any more"));
    this.#client.close();
  }

  #call(name: string, request: object): Promise<object> {
    const { path, encode, decode } = methodOf(this.#root, "DevicePlugin", name);
    return withDeadline(
      this.#clock,
      { ms: callMs, what: `Cannot call ${name} of a device plugin`, signal: this.#closed.signal },
      (signal) => {
        const done = Promise.withResolvers<object>();
        const call = this.#client.makeUnaryRequest(
          path,
          encode.request,
          decode.answer,
          request,
          (error: ServiceError | null, answer?: object) => {
            if (error || !answer) done.reject(new AppError("device-plugin", error?.details ?? "no answer"));
            else done.resolve(answer);
          },
        );
        signal.addEventListener("abort", () => call.cancel(), { once: true });
        return done.promise;
      },
    );
  }
}

function methodOf(root: Root, serviceName: string, name: string) {
  const service = root.lookupService(`v1beta1.${serviceName}`);
  const method = service.methods[name];
  const typeOf = (type = "") => {
    const found = root.lookupType(`v1beta1.${type}`);
    return {
      encode: (message: object): Buffer => Buffer.from(found.encode(found.fromObject(message)).finish()),
      decode: (bytes: Uint8Array): object => found.toObject(found.decode(bytes), asObjects),
    };
  };
  const [request, answer] = [typeOf(method?.requestType), typeOf(method?.responseType)];
  return {
    path: `/v1beta1.${serviceName}/${name}`,
    encode: { request: request.encode, answer: answer.encode },
    decode: {
      // The one request that is read here is that of Register.
      request: (bytes: Uint8Array) => request.decode(bytes) as Registration,
      answer: answer.decode,
    },
  };
}
