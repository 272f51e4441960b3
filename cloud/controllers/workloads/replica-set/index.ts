/** Keeps as many pods of a ReplicaSet or ReplicationController as it specifies. */
export { startReplicaSetController, startReplicationController } from "./controller.ts";
