export { DeviceValues } from "./device-values.ts";
export { tellState, TwinWriter } from "./twin-writer.ts";
