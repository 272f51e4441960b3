/** Deployments, ReplicaSets, and how objects are owned. */
export { startDeploymentController } from "./deployment.ts";
export { dropOwners, isDeleting, isSelectedBy, placeOf } from "./replicaset-ownership.ts";
export { startReplicaSetController } from "./replicaset.ts";
