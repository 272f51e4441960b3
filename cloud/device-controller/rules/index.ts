export { DeviceRules } from "./device-rules.ts";
