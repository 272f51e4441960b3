export { Pods, type PodsConfig } from "./pods.ts";
