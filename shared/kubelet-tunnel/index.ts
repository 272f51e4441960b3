/** KubeEdge's tunnel to the kubelet of a node (cloudstream and edgestream): its messages and its connections. */
export type { KubeletRequest } from "./connect.ts";
export { TunnelConnection } from "./tunnel-connection.ts";
export { KubeletTunnel, type TunnelAnswer, type TunnelOptions, type TunnelTransport } from "./tunnel.ts";

/** The service of streams that carry an HTTP request to the kubelet's server of a node, as `fetchOver` sends it. */
export const kubeletService = "kubelet";
