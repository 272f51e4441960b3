/** What all controllers share: their dependencies, the work queue, Events, and ownership of objects. */
export { claimOwned, isSelectedBy } from "./claim.ts";
export type { ControllerDeps, StartController } from "./controller.ts";
export { ControllerEvents } from "./event-recorder.ts";
export { recordEvent, type EventDeps } from "./events.ts";
export { OwnWrites } from "./own-writes.ts";
export { OwnedIndex } from "./owned-index.ts";
export {
  controlledBy,
  controllerOf,
  isDeleting,
  removeOwners,
  type TypedObject,
} from "./owner-references.ts";
export { followShared, type FollowedCollections, type SharedInformers } from "./shared-informers.ts";
export type { PersistentVolume, PersistentVolumeClaim, StorageClass } from "./storage.ts";
export { WorkQueue } from "./work-queue.ts";
export type {
  ControllerRevision,
  CronJob,
  CronJobStatus,
  DaemonSet,
  Deployment,
  Job,
  JobSpec,
  JobStatus,
  PodDisruptionBudget,
  PodDisruptionBudgetStatus,
  PodFailureRule,
  PodOwner,
  PodTemplate,
  ReplicaSet,
  ReplicationController,
  StatefulSet,
} from "./workloads.ts";
export { findCustom, type Scale } from "./custom-kinds.ts";
