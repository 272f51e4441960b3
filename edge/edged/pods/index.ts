export { removedEvent } from "./events.ts";
export { UnknownPods } from "./unknown-pods.ts";
export { PodWorker, type PodWorkerDeps } from "./worker.ts";
