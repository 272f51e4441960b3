import type { Port } from "#shared/bus";
import type { Clock } from "#shared/clock";
import { DeviceEventRecorder } from "#shared/events";
import type { Device } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DeviceName, EdgeCatalog, StoredObject } from "#shared/topics";
import type { Store } from "#edge/store";
import { DriverHost } from "#edge/drivers/host";
import { driverOf } from "./catalog.ts";
import { StoredDevices } from "./stored-devices.ts";

export type DriversPort = Port<
  EdgeCatalog,
  "event.recorded",
  "driver.report",
  "object.stored" | "mapper.registered",
  never
>;

export interface DriversConfig {
  readonly node: string;
  /** Protocols that are left to mappers, in lower case. */
  readonly disabled: readonly string[];
}

export interface DriversParts {
  readonly port: DriversPort;
  readonly store: Pick<Store, "metas">;
  /** A Device as this node has it: with desired values that were set here. */
  readonly show: (device: Device) => Device;
  /** Whether a mapper has registered for a protocol. */
  readonly hasMapper: (protocol: string) => boolean;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Drivers for protocols of devices, such as Modbus: a Device whose `protocol.protocolName` is one of them is read and commanded by
 * edgecore itself, without a mapper. A driver is loaded with the first Device of its protocol. A mapper that registers for a protocol
 * takes it over.
 */
export async function startDrivers(
  { node, disabled }: DriversConfig,
  { port, store: { metas }, show, hasMapper, clock, log }: DriversParts,
): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const recorder = new DeviceEventRecorder({
    node,
    clock,
    emit: (event) => port.emit("event.recorded", { event }),
  });
  const host = stack.use(
    new DriverHost({
      driverOf: (protocol) => (isFree(protocol) ? driverOf(protocol) : undefined),
      report: (report) => port.ask("driver.report", report),
      recorder,
      clock,
      log,
    }),
  );
  const isFree = (protocol = ""): boolean =>
    !disabled.includes(protocol.toLowerCase()) && !hasMapper(protocol);
  const objects = new StoredDevices(metas, show);
  const apply = (places: Iterable<DeviceName>): void => {
    for (const { namespace, name } of places)
      host.set(`${namespace}/${name}`, objects.device(namespace, name), objects.modelOf(namespace, name));
  };
  stack.use(
    port.on("object.stored", ({ type, namespace, name }: StoredObject) => {
      if (type === "device") apply([{ namespace, name }]);
      else if (type === "devicemodel") apply(objects.driven({ namespace, name }));
    }),
  );
  stack.use(port.on("mapper.registered", () => apply(objects.driven())));
  apply(objects.driven());
  return running("drivers", stack.move());
}
