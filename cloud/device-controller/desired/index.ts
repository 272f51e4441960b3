/** Desired values that were set on nodes, and what of them goes into the API. */
export { ChangeTimes } from "./change-times.ts";
export { DesiredWrites, type DesiredWritesOptions } from "./desired-writes.ts";
export { mergeDesired, type DesiredOutcome } from "./merge.ts";
