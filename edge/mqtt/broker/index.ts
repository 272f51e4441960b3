export { startBroker, type Broker, type BrokerParts } from "./broker.ts";
