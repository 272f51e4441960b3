export { findMisplaced, findUnusable } from "#edge/edged/pods/admission";
export { Pods, type ActivePod, type PodsConfig } from "./pods.ts";
export type { PodEnding } from "./status.ts";
