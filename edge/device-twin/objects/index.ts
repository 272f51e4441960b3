export { contentFields, DeviceObjects } from "./device-objects.ts";
