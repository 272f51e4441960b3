/** What the node and its containers use: measured when somebody asks. */
export { measure } from "./measurement.ts";
export { UsageStreams } from "./usage-streams.ts";
export { measureStorage, totalOf, type PodStorage } from "./storage.ts";
export { readNodeUsage } from "./node-load.ts";
