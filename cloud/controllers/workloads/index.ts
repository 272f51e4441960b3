/** Deployments, ReplicaSets, and how objects are owned. */
export { startDeploymentController } from "./deployment.ts";
export { startReplicaSetController } from "./replicaset.ts";
