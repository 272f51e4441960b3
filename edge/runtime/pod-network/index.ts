/** Connections to servers in the network namespaces of pods. */
export { connectToPod, type ConnectDeps, type PodPlace } from "./connect.ts";
