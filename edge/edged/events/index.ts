export { EventRecorder, type PodEvent } from "./recorder.ts";
