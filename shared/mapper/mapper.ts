import { mkdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemClock, type Clock } from "#shared/clock";
import { AnyValues, readDmi } from "#shared/dmi";
import { describeError } from "#shared/errors";
import { GrpcError, grpcCodes, GrpcServer, type GrpcMethod } from "#shared/grpc";
import { asText, recordOf } from "#shared/json";
import { backoff } from "#shared/lifecycle";
import { createLogger, type Logger } from "#shared/log";
import { DeviceLoop } from "./device-loop.ts";
import { keyOfMessage, listOf, modelKeyOf, planDevice } from "./device-plan.ts";
import type { DriverFactory, Mapper, MapperOptions } from "./driver.ts";
import { EdgeLink } from "./edge-link.ts";

const edgeSocketPath = "/etc/kubeedge/dmi.sock";
const mapperVersion = "v1.0.0";
/** A mapper notices a restart of edgecore as soon. */
const lookMs = 5000;
const firstRetryMs = 500;
const lastRetryMs = 30_000;
type Message = Readonly<Record<string, unknown>>;

/**
 * Runs a mapper: it serves what edgecore calls, registers as soon as edgecore is there and again after each restart of it, and runs a
 * driver for each of its devices. @throws when its socket cannot be served
 */
export async function startMapper<Config, Visitor>(options: MapperOptions<Config, Visitor>): Promise<Mapper> {
  const { edgeSocket = edgeSocketPath, onLog = (line: string) => void process.stderr.write(line) } = options;
  const socket = options.socket ?? join(dirname(edgeSocket), `${options.name}.sock`);
  const log = createLogger({ level: "info", clock: systemClock, readable: false, write: onLog });
  // What the settings of a device are is known to its driver alone.
  const driver = options.driver as unknown as DriverFactory;
  const { name, protocol } = options;
  const mapper = new RunningMapper({ name, protocol, driver, edgeSocket, socket, clock: systemClock, log });
  await mapper.start();
  return mapper;
}

/** As `startMapper`, until SIGTERM or SIGINT: then the devices are stopped. */
export async function runMapper<Config, Visitor>(options: MapperOptions<Config, Visitor>): Promise<void> {
  const signalled = new Promise<void>((resolve) => {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.once(name, () => resolve());
  });
  await using _mapper = await startMapper(options);
  await signalled;
}

interface RunningMapperParts {
  readonly name: string;
  readonly protocol: string;
  readonly driver: DriverFactory;
  readonly edgeSocket: string;
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Logger;
}

class RunningMapper implements Mapper {
  readonly #parts: RunningMapperParts;
  readonly #definition = readDmi("v1beta1");
  readonly #anyValues = new AnyValues(this.#definition);
  readonly #edge: EdgeLink;
  readonly #models = new Map<string, unknown>();
  readonly #devices = new Map<string, { message: unknown; readonly loop: DeviceLoop }>();
  readonly #stop = new AbortController();
  readonly #ending = new Set<Promise<void>>();
  #server: GrpcServer | undefined;
  #registering: Promise<void> = Promise.resolve();

  constructor(parts: RunningMapperParts) {
    this.#parts = parts;
    this.#edge = new EdgeLink(parts.edgeSocket, this.#definition, parts.clock);
  }

  devices(): string[] {
    return [...this.#devices.keys()];
  }

  async start(): Promise<void> {
    const { socket, clock } = this.#parts;
    mkdirSync(dirname(socket), { recursive: true });
    rmSync(socket, { force: true });
    this.#server = new GrpcServer({ methods: this.#methods(), mostConnections: 100, clock });
    await this.#server.listen(socket);
    this.#registering = this.#stayRegistered();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#registering;
    await this.#server?.[Symbol.asyncDispose]();
    for (const key of this.devices()) this.#remove(key);
    await Promise.all(this.#ending);
    this.#edge[Symbol.dispose]();
    rmSync(this.#parts.socket, { force: true });
  }

  /** Registers, and again when edgecore has another socket. Never rejects. */
  async #stayRegistered(): Promise<void> {
    const { edgeSocket, clock, log, name } = this.#parts;
    const waits = (): Generator<number, never> =>
      backoff({ firstMs: firstRetryMs, capMs: lastRetryMs, random: () => clock.random() });
    let pauses = waits();
    let known: string | undefined;
    while (!this.#stop.signal.aborted) {
      const present = identityOf(edgeSocket);
      const isKnown = present !== undefined && present === known;
      const problem = isKnown ? undefined : await this.#tryRegister();
      if (problem === undefined) {
        known = present;
        pauses = waits();
      } else if (!this.#stop.signal.aborted)
        log.warn("cannot register, retrying", { mapper: name, error: problem });
      const pauseMs = problem === undefined ? lookMs : pauses.next().value;
      await clock.sleep(pauseMs, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  /** @returns what is in the way */
  async #tryRegister(): Promise<string | undefined> {
    const { log, name } = this.#parts;
    try {
      await this.#register();
      log.info("registered", { mapper: name, devices: this.#devices.size });
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  async #register(): Promise<void> {
    const { name, protocol, socket } = this.#parts;
    const mapper = {
      name,
      version: mapperVersion,
      apiVersion: mapperVersion,
      protocol,
      address: Buffer.from(socket),
      state: "ok",
    };
    const { modelList, deviceList } = await this.#edge.register(mapper, this.#stop.signal);
    for (const model of listOf(modelList)) this.#models.set(keyOfMessage(model), model);
    const devices = listOf(deviceList);
    const listed = new Set(devices.map(keyOfMessage));
    for (const key of this.devices()) if (!listed.has(key)) this.#remove(key);
    for (const device of devices) this.#put(device);
    for (const { loop } of this.#devices.values()) loop.reportAll();
  }

  #put(message: unknown): void {
    const { driver, clock, log } = this.#parts;
    const key = keyOfMessage(message);
    const plan = planDevice(message, this.#models.get(modelKeyOf(message)), this.#anyValues);
    const known = this.#devices.get(key);
    if (known) {
      known.message = message;
      known.loop.change(plan);
      return;
    }
    const loop = new DeviceLoop(plan, { key, driver, edge: this.#edge, clock, log });
    this.#devices.set(key, { message, loop });
  }

  #remove(key: string): void {
    const known = this.#devices.get(key);
    this.#devices.delete(key);
    if (!known) return;
    const end = Promise.resolve(known.loop[Symbol.asyncDispose]());
    this.#ending.add(end);
    void end.then(() => this.#ending.delete(end));
  }

  /** The service that edgecore calls: each call may be repeated. */
  #methods(): GrpcMethod[] {
    const answers: Readonly<Record<string, (request: Message) => object>> = {
      RegisterDevice: ({ device }) => this.#changed(device),
      UpdateDevice: ({ device }) => this.#changed(device),
      RemoveDevice: (request) => {
        this.#remove(keyIn(request, "device"));
        return {};
      },
      CreateDeviceModel: ({ model }) => this.#modelChanged(model),
      UpdateDeviceModel: ({ model }) => this.#modelChanged(model),
      RemoveDeviceModel: (request) => {
        this.#models.delete(keyIn(request, "model"));
        return {};
      },
      GetDevice: (request) => {
        const known = this.#devices.get(keyIn(request, "device"));
        if (!known) throw new GrpcError(grpcCodes.notFound, `no device ${keyIn(request, "device")}`);
        return { device: known.message };
      },
    };
    return Object.entries(answers).flatMap(([name, answer]) => {
      const method = this.#definition.methods.get(name);
      return method ? [{ method, answer: async (request) => answer(request) }] : [];
    });
  }

  #changed(device: unknown): object {
    if (asText(recordOf(device)["name"]) === "")
      throw new GrpcError(grpcCodes.invalidArgument, "device.name is empty");
    this.#put(device);
    const { name: deviceName, namespace: deviceNamespace } = recordOf(device);
    return { deviceName, deviceNamespace };
  }

  #modelChanged(model: unknown): object {
    const key = keyOfMessage(model);
    this.#models.set(key, model);
    for (const { message } of this.#devices.values()) if (modelKeyOf(message) === key) this.#put(message);
    const { name: deviceModelName, namespace: deviceModelNamespace } = recordOf(model);
    return { deviceModelName, deviceModelNamespace };
  }
}

function keyIn(request: Message, kind: "device" | "model"): string {
  return keyOfMessage({ name: request[`${kind}Name`], namespace: request[`${kind}Namespace`] });
}

/** Another socket, another edgecore. */
function identityOf(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats && `${stats.ino} ${stats.ctimeMs}`;
}
