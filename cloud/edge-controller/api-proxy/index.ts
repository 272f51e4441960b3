/** Requests of programs on nodes to the Kubernetes API, with their own tokens. */
export { ApiProxy, unavailableHeader, type ApiProxyOptions } from "./api-proxy.ts";
