/** What a node may do with its certificate, and how much of it: rules, applied to its requests. */
export { readDesiredValues } from "./desired-values.ts";
export {
  isSameEvent,
  isReportedAlready,
  readNodeEvent,
  type EventSubject,
  type ReadEvent,
} from "./events.ts";
export { isNodeLabel, judgeLabels, type JudgedLabels } from "./labels.ts";
export { mirrorPodFault } from "./mirror-pod.ts";
export { NodeWarnings, type NodeWarning } from "./node-warnings.ts";
export { isForeignNode, largest, leaseOf, mostMirrorPods, specToRegister } from "./shapes.ts";
export { longestTokenSeconds, readTokenRequest, tokenFault, type NodeTokenRequest } from "./token-request.ts";
export { WriteBudget, type WriteKind } from "./write-budget.ts";
export { jsonBytesOf, WriteGate } from "./write-gate.ts";
