export { Events } from "./device-events.ts";
