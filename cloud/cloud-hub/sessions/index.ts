/** One session a connected node: what goes to it, what comes from it, and two that claim one name. */
export { Duplicates } from "./duplicates.ts";
export { Hub } from "./hub.ts";
export type { CloudHubPort } from "./port.ts";
