export { cycleMs } from "./cycle.ts";
export { nextTurn, onNextMicrotask, onNextTurn } from "./turn.ts";
export { systemClock } from "./system-clock.ts";
export { rfc3339, rfc3339Micro, type BootTime, type Clock } from "./clock.ts";
