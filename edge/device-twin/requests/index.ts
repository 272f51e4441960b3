export { DeviceRequests } from "./device-requests.ts";
