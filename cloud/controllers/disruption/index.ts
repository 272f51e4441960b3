/** PodDisruptionBudgets, by which evictions are judged, and why pods are ended. */
export { startDisruptionController } from "./controller.ts";
export { markDisrupted, type Disruption } from "./disrupt.ts";
