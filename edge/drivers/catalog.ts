import type { Driver } from "#edge/drivers/driver";

/** A driver of any protocol; what it makes of `configData` goes nowhere but back to it. */
export type AnyDriver = Driver<unknown, unknown>;

/** Names in `protocol.protocolName`, in lower case, and the driver of each: loaded when a Device has the name. */
const loaders: Readonly<Record<string, () => Promise<AnyDriver>>> = Object.assign(
  Object.create(null) as object,
  {
    modbus: loadModbus,
    "modbus-tcp": loadModbus,
    "modbus-rtu": loadModbus,
  },
);

async function loadModbus(): Promise<AnyDriver> {
  const { driver } = await import("#edge/drivers/modbus");
  return driver as AnyDriver;
}

/** @returns what loads the driver of a protocol; undefined for protocols of mappers and of MQTT devices */
export function driverOf(protocol: string | undefined): (() => Promise<AnyDriver>) | undefined {
  return loaders[(protocol ?? "").toLowerCase()];
}

/** The protocols that edgecore speaks itself. */
export const driverProtocols: readonly string[] = Object.keys(loaders);
