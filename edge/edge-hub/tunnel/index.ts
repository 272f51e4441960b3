/** The tunnel to a cloud of KubeEdge (edgestream), by which its API server reaches the pods of this node. */
export { KubeletServer } from "./kubelet-server.ts";
export { TunnelKeeper } from "./tunnel-keeper.ts";
