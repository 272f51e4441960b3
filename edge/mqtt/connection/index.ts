export type { BrokerClient, Subscriber } from "./client.ts";
export { acknowledged, inFlightWindow } from "./in-flight.ts";
export { subscriberFor, type SubscriberOptions } from "./subscriber.ts";
export { inboxOf, takeOverClient, type TakeOverOptions } from "./take-over.ts";
