/** Pods and what they read, on their way to the nodes. */
export { ObjectDeliveries } from "./object-deliveries.ts";
