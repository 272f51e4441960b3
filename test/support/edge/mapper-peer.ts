import * as grpc from "@grpc/grpc-js";
import { parse } from "protobufjs";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export type DmiName = "v1alpha1" | "v1beta1";

/** What came over the wire: a test compares it with what it expects, field by field. */
export type LooseMessage = ReturnType<typeof JSON.parse>;

/** A call that a mapper got. */
export interface MapperCall {
  readonly method: string;
  readonly request: LooseMessage;
}

type Done = (error: Partial<grpc.ServiceError> | null, answer?: object) => void;

/**
 * A mapper as those of KubeEdge are, by the official gRPC and protobuf of JavaScript: a client of edgecore's socket and a server at
 * one of its own.
 */
export class MapperPeer implements AsyncDisposable {
  readonly version: DmiName;
  readonly calls: MapperCall[] = [];
  /** Of a method: what it answers with, or throws. */
  readonly onCall: Partial<Record<string, (request: LooseMessage) => Promise<object> | object>> = {};
  readonly #edge: string;
  readonly #address: string;
  readonly #root;
  #server: grpc.Server | undefined;
  readonly #waiters = new Set<() => void>();

  /** @param edge edgecore's socket @param address that of the mapper */
  constructor(edge: string, address: string, version: DmiName = "v1beta1") {
    this.#edge = edge;
    this.#address = address;
    this.version = version;
    const path = join(import.meta.dir, `../../../shared/dmi/${version}.proto.txt`);
    this.#root = parse(readFileSync(path, "utf8"), { keepCase: true }).root;
  }

  /** Serves what edgecore calls. */
  async serve(): Promise<void> {
    const server = new grpc.Server();
    const service = this.#root.lookupService(`${this.version}.DeviceMapperService`);
    const names = Object.keys(service.methods);
    const definitions = Object.fromEntries(
      names.map((name) => [name, this.#definition("DeviceMapperService", name)]),
    );
    const handler = (method: string) => async (call: { readonly request: object }, done: Done) => {
      this.calls.push({ method, request: call.request });
      for (const wake of this.#waiters) wake();
      try {
        done(null, (await this.onCall[method]?.(call.request)) ?? {});
      } catch (error) {
        done({ code: grpc.status.UNKNOWN, details: String(error) });
      }
    };
    server.addService(definitions, Object.fromEntries(names.map((name) => [name, handler(name)])));
    await new Promise<void>((resolve, reject) => {
      const bound = (error: Error | null): void => (error ? reject(error) : resolve());
      server.bindAsync(`unix://${this.#address}`, grpc.ServerCredentials.createInsecure(), bound);
    });
    this.#server = server;
  }

  /** Ends the server, as when the mapper's process ends. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  register(protocol: string, { name = "peer", withData = true } = {}): Promise<LooseMessage> {
    const mapper = {
      name,
      version: "v1",
      api_version: "v1.0.0",
      protocol,
      address: Buffer.from(this.#address),
      state: "ok",
    };
    return this.ask("MapperRegister", { withData, mapper });
  }

  report(device: object, twins: object[]): Promise<LooseMessage> {
    return this.ask("ReportDeviceStatus", { ...device, reportedDevice: { twins } });
  }

  /** Calls edgecore, by a connection of its own as mappers of KubeEdge do. */
  ask(name: string, request: object): Promise<LooseMessage> {
    const { requestSerialize } = this.#definition("DeviceManagerService", name);
    return this.sendRaw(name, requestSerialize(request));
  }

  /** As `ask`, with the bytes of the request. */
  async sendRaw(name: string, bytes: Buffer): Promise<LooseMessage> {
    const { path, responseDeserialize } = this.#definition("DeviceManagerService", name);
    // grpc-go sends the path of the socket as it is.
    const options = { "grpc.default_authority": this.#edge };
    const client = new grpc.Client(`unix://${this.#edge}`, grpc.credentials.createInsecure(), options);
    try {
      return await new Promise((resolve, reject) => {
        const done = (error: grpc.ServiceError | null, answer?: object): void =>
          error ? reject(error) : resolve(answer);
        client.makeUnaryRequest(path, (given: Buffer) => given, responseDeserialize, bytes, done);
      });
    } finally {
      client.close();
    }
  }

  /** Settles when the mapper has got as many calls. */
  async called(count: number): Promise<readonly MapperCall[]> {
    while (this.calls.length < count) {
      const next = Promise.withResolvers<void>();
      this.#waiters.add(next.resolve);
      await next.promise;
      this.#waiters.delete(next.resolve);
    }
    return this.calls;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  #definition(serviceName: string, name: string) {
    const method = this.#root.lookupService(`${this.version}.${serviceName}`).methods[name];
    if (!method) throw new Error(`${this.version} has no ${serviceName}.${name}`);
    const [asked, answered] = [this.#codec(method.requestType), this.#codec(method.responseType)];
    return {
      path: `/${this.version}.${serviceName}/${name}`,
      requestStream: false,
      responseStream: false,
      requestSerialize: asked.encode,
      requestDeserialize: asked.decode,
      responseSerialize: answered.encode,
      responseDeserialize: answered.decode,
    };
  }

  #codec(name: string) {
    const type = this.#root.lookupType(`${this.version}.${name}`);
    return {
      encode: (message: object): Buffer => Buffer.from(type.encode(type.fromObject(message)).finish()),
      decode: (bytes: Uint8Array): object => plain(type.toObject(type.decode(bytes), { longs: Number })),
    };
  }

  /** The value in a google.protobuf.Any. */
  anyOf({ type_url, value }: { type_url: string; value: Uint8Array }): [string, unknown] {
    const name = type_url.replace("type.googleapis.com/google.protobuf.", "");
    const root = parse(
      readFileSync(join(import.meta.dir, "../../../shared/dmi/v1beta1.proto.txt"), "utf8"),
    ).root;
    const type = root.lookupType(`v1beta1.${name}`);
    return [name, type.toObject(type.decode(value), { longs: Number, defaults: true })["value"]];
  }
}

/** Maps of protobufjs have a prototype of null, which comparisons see. */
function plain(value: object): object {
  return structuredClone(value);
}
