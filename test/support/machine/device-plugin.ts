import * as grpc from "@grpc/grpc-js";
import { parse } from "protobufjs";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const { root } = parse(
  readFileSync(join(import.meta.dir, "../../../edge/runtime/device-plugins/api.proto.txt"), "utf8"),
);

function codec(name: string) {
  const type = root.lookupType(`v1beta1.${name}`);
  return {
    encode: (message: object): Buffer => Buffer.from(type.encode(type.fromObject(message)).finish()),
    decode: (bytes: Uint8Array): object =>
      type.toObject(type.decode(bytes), { defaults: true, arrays: true }),
  };
}

function definition(name: string, request: string, answer: string, responseStream = false) {
  const [asked, answered] = [codec(request), codec(answer)];
  return {
    path: `/v1beta1.DevicePlugin/${name}`,
    requestStream: false,
    responseStream,
    requestSerialize: asked.encode,
    requestDeserialize: asked.decode,
    responseSerialize: answered.encode,
    responseDeserialize: answered.decode,
  };
}

const service = {
  GetDevicePluginOptions: definition("GetDevicePluginOptions", "Empty", "DevicePluginOptions"),
  ListAndWatch: definition("ListAndWatch", "Empty", "ListAndWatchResponse", true),
  GetPreferredAllocation: definition(
    "GetPreferredAllocation",
    "PreferredAllocationRequest",
    "PreferredAllocationResponse",
  ),
  Allocate: definition("Allocate", "AllocateRequest", "AllocateResponse"),
  PreStartContainer: definition("PreStartContainer", "PreStartContainerRequest", "PreStartContainerResponse"),
};

type Done = (error: Partial<grpc.ServiceError> | null, answer?: object) => void;

/** A device plugin as those for kubelet are: a gRPC server at a socket beside kubelet's, which registers there. */
export class DevicePlugin implements AsyncDisposable {
  readonly #folder: string;
  readonly #endpoint: string;
  readonly #server = new grpc.Server();
  readonly #streams = new Set<grpc.ServerWritableStream<object, object>>();
  devices: readonly { ID: string; health: string }[] = [];
  options: object = {};
  preferred: readonly string[] = [];
  readonly allocated: string[][] = [];
  readonly started: string[][] = [];
  /** Allocate is never answered. */
  hangs = false;
  /** Answers Allocate; it fails when there is no answer. */
  answer: ((ids: string[]) => object | undefined) | undefined = () => ({});

  constructor(folder: string, endpoint: string) {
    this.#folder = folder;
    this.#endpoint = endpoint;
  }

  async listen(): Promise<void> {
    const ids = (call: unknown): string[] =>
      (call as { request: { devicesIDs: string[] } }).request.devicesIDs;
    this.#server.addService(service, {
      GetDevicePluginOptions: (_: unknown, done: Done) => done(null, this.options),
      ListAndWatch: (call: grpc.ServerWritableStream<object, object>) => {
        this.#streams.add(call);
        call.on("cancelled", () => this.#streams.delete(call));
        call.write({ devices: this.devices });
      },
      GetPreferredAllocation: (_: unknown, done: Done) =>
        done(null, { containerResponses: [{ deviceIDs: this.preferred }] }),
      Allocate: (call: unknown, done: Done) => {
        const { containerRequests } = (call as { request: { containerRequests: { devicesIDs: string[] }[] } })
          .request;
        const devicesIDs = containerRequests.flatMap((one) => one.devicesIDs);
        this.allocated.push(devicesIDs);
        if (this.hangs) return;
        const answer = this.answer?.(devicesIDs);
        if (answer) done(null, { containerResponses: [answer] });
        else done({ code: grpc.status.INTERNAL, details: "the device is on fire" });
      },
      PreStartContainer: (call: unknown, done: Done) => {
        this.started.push(ids(call));
        done(null, {});
      },
    });
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(
        `unix://${join(this.#folder, this.#endpoint)}`,
        grpc.ServerCredentials.createInsecure(),
        (error) => (error ? reject(error) : resolve()),
      );
    });
  }

  /** @throws what the node has against it */
  register(resourceName: string, more: object = {}): Promise<void> {
    const client = new grpc.Client(
      `unix://${join(this.#folder, "kubelet.sock")}`,
      grpc.credentials.createInsecure(),
    );
    const { encode } = codec("RegisterRequest");
    const request = { version: "v1beta1", endpoint: this.#endpoint, resourceName, ...more };
    return new Promise<void>((resolve, reject) => {
      const done = (error: grpc.ServiceError | null): void => (error ? reject(error) : resolve());
      client.makeUnaryRequest("/v1beta1.Registration/Register", encode, codec("Empty").decode, request, done);
    }).finally(() => client.close());
  }

  /** Whether the node knows its devices. */
  get isWatched(): boolean {
    return this.#streams.size > 0;
  }

  update(devices: readonly { ID: string; health: string }[]): void {
    this.devices = devices;
    for (const stream of this.#streams) stream.write({ devices });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}
