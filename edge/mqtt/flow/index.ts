export { OutboundBacklog, type OutboundBacklogOptions } from "./backlog.ts";
export type { Frame } from "./frame-queue.ts";
export type { Outbound } from "./outbound.ts";
export type { Publisher } from "./pacing.ts";
