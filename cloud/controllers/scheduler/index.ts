/** Gives each pod without a node the best of those it fits on. */
export { startScheduler } from "./controller.ts";
