import type { Clock } from "#shared/clock";
import { readDmi } from "#shared/dmi";
import { DeviceEventRecorder } from "#shared/events";
import { GrpcServer } from "#shared/grpc";
import type { Device } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { Store } from "#edge/store";
import { Mappers } from "#edge/device-twin/dmi/mappers";
import { DmiObjects } from "#edge/device-twin/dmi/objects";
import { managerMethods } from "#edge/device-twin/dmi/service";
import { keepSocket } from "#edge/device-twin/dmi/socket";
import type { DmiPort } from "./port.ts";

export interface DmiConfig {
  readonly node: string;
  /** Path of the socket where mappers register. */
  readonly socket: string;
}

export interface DmiParts {
  readonly port: DmiPort;
  readonly store: Pick<Store, "metas">;
  /** A Device as this node has it: with desired values that were set here. */
  readonly show: (device: Device) => Device;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface Dmi extends Running {
  /** Whether a mapper has registered for a protocol, now or before a restart. */
  readonly hasMapper: (protocol: string) => boolean;
}

/** Each mapper has one; those of KubeEdge open another for each report. */
const mostConnections = 512;

/**
 * The device mapper interface (DMI) of KubeEdge 1.12 and later: mappers register at a socket and report values; edgecore brings them
 * their devices and models. Objects are looked at from the first mapper on. A socket that cannot be served is no reason not to start.
 */
export async function startDmi({ node, socket }: DmiConfig, parts: DmiParts): Promise<Dmi> {
  const { port, store, show, clock, log } = parts;
  await using stack = new AsyncDisposableStack();
  const { metas } = store;
  const recorder = new DeviceEventRecorder({
    node,
    clock,
    emit: (event) => port.emit("event.recorded", { event }),
  });
  const onRegistered = (protocol: string): unknown => port.emit("mapper.registered", { protocol });
  let made: { readonly mappers: Mappers; readonly objects: DmiObjects } | undefined;
  const opened = (): { readonly mappers: Mappers; readonly objects: DmiObjects } => {
    if (made) return made;
    const objects = new DmiObjects({ metas, show });
    made = { objects, mappers: new Mappers({ metas, objects, recorder, onRegistered, clock, log }) };
    return made;
  };
  stack.defer(() => made?.mappers[Symbol.asyncDispose]());
  stack.use(port.on("object.stored", (object) => made?.mappers.changed(object)));
  if (metas.keysByType("devicemapper").length > 0) opened();
  const methods = managerMethods({
    definition: readDmi,
    register: (info, withData) => opened().mappers.register(info, withData),
    deviceOf: (namespace, name) => topicName(opened().objects, namespace, name),
    report: (report) => port.ask("mapper.report", report),
  });
  const listen = async (path: string): Promise<AsyncDisposable> => {
    const server = new GrpcServer({ methods, mostConnections, clock });
    await server.listen(path);
    return server;
  };
  stack.use(await keepSocket({ path: socket, listen, clock, log }));
  const hasMapper = (protocol: string): boolean => made?.mappers.has(protocol) ?? false;
  return Object.assign(running("dmi", stack.move()), { hasMapper });
}

/** Mappers of KubeEdge before 1.16 know no namespaces. */
function topicName(objects: DmiObjects, namespace: string, name: string): string | undefined {
  if (namespace !== "" || name.includes("/")) {
    const key = namespace === "" ? name : `${namespace}/${name}`;
    return objects.has(key) ? key : undefined;
  }
  const [only, ...others] = objects.named(name);
  if (only === undefined) return undefined;
  if (others.length === 0) return name;
  return objects.has(`default/${name}`) ? `default/${name}` : only;
}
