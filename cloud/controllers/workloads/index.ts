/** Deployments, ReplicaSets, and how objects are owned. */
export { startReplicaSetController } from "./replicaset.ts";
