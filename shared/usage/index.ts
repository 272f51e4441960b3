/**
 * What a node and its pods use. The cloud opens a stream of service "usage" while somebody asks, and the node writes a report
 * to it every 15 seconds; nothing is measured, sent or kept otherwise.
 */
export type { ContainerCounters, UsageCounters, UsedResources } from "./counters.ts";
export {
  mostContainers,
  readUsage,
  writeUsage,
  type PodUsage,
  type ReadUsage,
  type ResourceUsage,
  type UsageReport,
} from "./report.ts";

/** The service of the streams. */
export const usageService = "usage";
/** As metrics-server's `--metric-resolution` and the period of the HorizontalPodAutoscaler. */
export const reportEveryMs = 15_000;
