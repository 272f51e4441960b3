/** The statuses of rules. */
export type { RuleCounters } from "./rule-counters.ts";
export { RuleStatusWriter } from "./status-writer.ts";
