export { CloudTwins } from "./cloud-twins.ts";
export { DeviceValues } from "./device-values.ts";
export { DrivenDevices } from "./driven-devices.ts";
export { PlainDevices } from "./plain-devices.ts";
export { reportState, TwinWriter } from "./twin-writer.ts";
export { ReportCycles } from "./report-cycles.ts";
