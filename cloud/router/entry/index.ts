/** The REST entry of rules: HTTPS, with tokens of the Kubernetes API. */
export { Access } from "./access.ts";
export { BrokerRequests } from "./broker-requests.ts";
export { EntryServer, type EntryPems } from "./entry-server.ts";
export { RestEntry } from "./rest-entry.ts";
export { ServiceRequests } from "./service-requests.ts";
