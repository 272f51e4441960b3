export { findMisplaced } from "#edge/edged/pods/admission";
export { Pods, type PodsConfig } from "./pods.ts";
