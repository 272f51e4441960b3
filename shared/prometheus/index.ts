/** Metrics in the text format of Prometheus. */
export {
  expositionType,
  formatFamilies,
  gauge,
  type Family,
  type Labels,
  type Sample,
} from "./exposition.ts";
export { readDiskWrites, type DiskWrites } from "./disk-writes.ts";
export { processFamilies } from "./process.ts";
export { Counters, Durations } from "./series.ts";
