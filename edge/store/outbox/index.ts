/** Messages that wait for the cloud, their room, and what was dropped for want of it. */
export { Backlog, type FoldableReport } from "./backlog.ts";
export { LossCounter, type Loss, type Losses } from "./losses.ts";
export { Outbox, type OutboxEntry, type OutboxShare } from "./outbox.ts";
