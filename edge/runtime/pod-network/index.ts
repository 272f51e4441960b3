/** Connections to servers in the network namespaces of pods. */
export { PodConnector, type ConnectDeps, type PodPlace } from "./connect.ts";
