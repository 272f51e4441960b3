export { removedEvent } from "./removed-event.ts";
export { UnknownPods } from "./unknown-pods.ts";
