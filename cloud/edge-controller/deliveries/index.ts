/** Pods and what they read, on their way to the nodes. */
export { ReleasedVolumes } from "./released-volumes.ts";
export { ObjectDeliveries } from "./object-deliveries.ts";
