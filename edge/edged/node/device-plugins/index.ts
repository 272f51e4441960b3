/** Devices that plugins on the node serve to containers. */
export { Devices, type DeviceRecord, type DevicesDeps } from "./devices.ts";
