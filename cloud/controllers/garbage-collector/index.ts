/** What becomes of objects whose owners go away. */
export { startGarbageCollector } from "./controller.ts";
