export { DeviceEvents } from "./device-events.ts";
