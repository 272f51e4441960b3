/** Values of devices between two commits of the database: on disk with a fraction of what a commit writes. */
export type { ValueRecord } from "./records.ts";
export { ValueJournal } from "./value-journal.ts";
