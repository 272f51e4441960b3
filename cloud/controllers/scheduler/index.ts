/** Binds each pod without a node to the best node that fits. */
export { startScheduler } from "./controller.ts";
