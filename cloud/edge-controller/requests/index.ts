/** What nodes ask of the API, with the rights of a node. */
export { DeviceRequests } from "./device-requests.ts";
export { EventRequests } from "./event-requests.ts";
export { NodeRequests } from "./node-requests.ts";
export { PodRequests } from "./pod-requests.ts";
export { RequestQueues } from "./queues.ts";
export { ConfigRequests } from "./config-requests.ts";
export { VolumeRequests } from "./volume-requests.ts";
export type { KubeletAddress } from "./reported-address.ts";
