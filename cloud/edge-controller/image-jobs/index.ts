export { ImageJobs } from "./image-jobs.ts";
