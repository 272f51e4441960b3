/** Deployments, ReplicaSets, and what becomes of the objects they own. */
export { startDeploymentController } from "./deployment.ts";
export { startGarbageCollector } from "./garbage-collector.ts";
export { startReplicaSetController } from "./replicaset.ts";
