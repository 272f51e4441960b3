/** The REST entry of rules: HTTPS, with tokens of the Kubernetes API. */
export { Access } from "./access.ts";
export { BrokerRequests } from "./broker-requests.ts";
export { RequestGate } from "./gate.ts";
export { RestEntry } from "./rest-entry.ts";
export { ServiceRequests } from "./service-requests.ts";
export { Tunnels } from "./tunnels.ts";
