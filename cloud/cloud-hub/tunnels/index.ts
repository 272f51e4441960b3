/** Tunnels of KubeEdge's nodes (cloudstream): streams to their pods, by the HTTP of their kubelets. */
export { Tunnels } from "./tunnels.ts";
