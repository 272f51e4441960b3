export { findMisplaced, findUnusable } from "#edge/edged/pods/admission";
export { Pods, type ActivePod, type PodsConfig } from "./pods.ts";
export type { Refusal } from "#edge/edged/pods/admission";
export type { PodEnding } from "./status.ts";
