/** Connections to servers in the network namespaces of pods, and what pods ask for names. */
export { PodConnector, type ConnectDeps, type PodPlace } from "./connect.ts";
export { podResolver } from "./resolver.ts";
export { findTakenPort, refuseTakenPorts } from "./host-ports.ts";
