/** Cells of `kubectl get` that both the embedded API and the API on a node print. */
export { ageSince, humanDuration } from "./age.ts";
export { conditionOf, podCells } from "./pod-cells.ts";
