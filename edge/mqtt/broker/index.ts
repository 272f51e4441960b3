export { startBroker, type Broker } from "./broker.ts";
export type { BrokerParts } from "./internals.ts";
