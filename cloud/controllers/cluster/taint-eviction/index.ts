/** Evicts pods from nodes with taints of effect NoExecute. */
export { startTaintEviction } from "./controller.ts";
