/** Messages of rules that wait on disk, and their way out. */
export { Counts } from "./counts.ts";
export type { DeliveryRequest, NewDelivery, Outcome, StoredDelivery } from "./delivery.ts";
export { DeliveryQueue } from "./delivery-queue.ts";
export { DeliveryStore } from "./delivery-store.ts";
