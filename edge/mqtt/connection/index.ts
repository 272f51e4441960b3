export { InboundAliases, OutboundAliases } from "./aliases.ts";
export { BrokerClient, type ClientHandlers, type Subscriber } from "./client.ts";
export { acknowledged, inFlightWindow, isHalfFree, mostUnsentBytes, takeAck, windowOf } from "./in-flight.ts";
export { ClientSubscriber, type SubscriberOptions } from "./subscriber.ts";
export { inboxOf } from "./inbox.ts";
