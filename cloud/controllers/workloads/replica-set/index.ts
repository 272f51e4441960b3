/** Keeps as many pods of a ReplicaSet as it specifies. */
export { startReplicaSetController } from "./controller.ts";
