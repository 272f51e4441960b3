/** One session a connected node: what goes to it, what comes from it, and two that claim one name. */
export { refuseUpgrade } from "./admission.ts";
export { answerDeliveries, type NodeLinks } from "./downstream.ts";
export { Duplicates } from "./duplicates.ts";
export { Hub } from "./hub.ts";
export type { CloudHubPort } from "./port.ts";
export { Upstream, type UpstreamOptions } from "./upstream.ts";
