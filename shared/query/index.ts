export { historyBounds, mostPoints } from "./history.ts";
export { readWholeNumbers, type Bounds, type WholeNumbers } from "./whole-numbers.ts";
