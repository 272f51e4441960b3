/** Runs the pods of Jobs to completion. */
export { startJobController } from "./controller.ts";
