/** The rules of Jobs and CronJobs, after pkg/apis/batch/validation. */
export { validateBatch } from "./validate.ts";
