export { checkItem, type MachineState } from "./checks.ts";
export { ImageJobs, type ImageJobsOptions } from "./image-jobs.ts";
