/** Runs the pods of Jobs to completion. */
export { startJobController } from "./controller.ts";
export { finishedBy } from "#cloud/controllers/workloads/job/rules";
