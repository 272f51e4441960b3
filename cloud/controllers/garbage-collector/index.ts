/** What becomes of objects whose owners go away. */
export { startGarbageCollector } from "./garbage-collector.ts";
