/** What the controllers of the embedded API share: the way they work, and the shapes they work on. */
export type { ControllerDeps, StartController } from "./controller.ts";
export { EventRecorder } from "./event-recorder.ts";
export { recordEvent, type EventDeps } from "./events.ts";
export { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";
export type { Deployment, PodTemplate, ReplicaSet } from "./workloads.ts";
export {
  claim,
  controlledBy,
  controllerOf,
  dropOwners,
  isDeleting,
  isSelectedBy,
  OwnedIndex,
  placeOf,
} from "./ownership.ts";
