export { PodWorker, type PodWorkerDeps } from "./worker.ts";
