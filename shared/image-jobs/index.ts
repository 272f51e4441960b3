/**
 * Images that nodes pull before pods want them. The cloud opens a stream of service "image-jobs" for each node of a job and
 * writes the request; the node writes a report for each step and each image, and ends the stream after the last.
 */
export { readImageJobReport, readImageJobRequest } from "./read.ts";
export type { ImageJobFailure, ImageJobReport, ImageJobRequest, PulledImage } from "./report.ts";

/** The service of the streams. */
export const imageJobService = "image-jobs";
