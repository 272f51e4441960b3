export { DeviceValues } from "./device-values.ts";
export { reportState, TwinWriter } from "./twin-writer.ts";
