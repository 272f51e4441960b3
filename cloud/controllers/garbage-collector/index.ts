/** Deletes objects whose owners are gone, in the background, in the foreground, or not at all (orphan). */
export { startGarbageCollector } from "./controller.ts";
