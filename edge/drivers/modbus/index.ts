import type { Driver } from "#edge/drivers/driver";
import { connectionKeys, lineKey, readConnection, type ModbusConnection } from "./connection.ts";
import { ModbusLink } from "./modbus-link.ts";
import { placeKeys, readPlace, type ModbusPlace } from "./place.ts";

/** Modbus TCP, RTU and RTU over TCP (Modbus application protocol 1.1b3), configured as KubeEdge's Modbus mapper. */
export const driver: Driver<ModbusConnection, ModbusPlace> = {
  connection: readConnection,
  connectionKeys,
  place: readPlace,
  placeKeys,
  linkKey: lineKey,
  open: (connection, { clock }) => ModbusLink.open(connection, clock),
};
