/** Keeps the status of PodDisruptionBudgets, by which evictions are judged. */
export { startDisruptionController } from "./controller.ts";
