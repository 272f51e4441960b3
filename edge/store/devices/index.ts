/** Devices of this node: attributes, twins and the history of their values. */
export { Devices, type AttributeRow, type DeviceRow } from "./devices.ts";
export { DeviceHistory, type HistoryLimits, type HistoryPoint, type HistoryQuery } from "./history.ts";
export { Twins, type TwinRow } from "./twins.ts";
