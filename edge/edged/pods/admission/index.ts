/** Whether a pod can run here: what it is made of, and what the node has left. */
export { findMisplaced, roomRefusal, type Refusal } from "./refusal.ts";
export { refuseUnserved, unappliedFields } from "./served-fields.ts";
export { findUnusable, isNamed } from "./usable.ts";
export { pressureRefusal } from "./pressure.ts";
export { kindOf, onHostNetwork, refuseForProcesses, refuseOtherKind, type PodKind } from "./processes.ts";
