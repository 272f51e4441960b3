/** What pods need of a node and whether the node has it: the scheduler decides by it, and the node that admits a pod. */
export {
  findUntolerated,
  isTolerated,
  matchesNodeSelection,
  matchesNodeTerms,
  matchesPreference,
  nodesNamedBy,
  schedulingView,
} from "./node-fit.ts";
export {
  addAmounts,
  hostPortsOf,
  offersOf,
  portsCollide,
  requestsOf,
  type Amounts,
  type HostPort,
} from "./pod-demand.ts";
export { isCriticalPod, qosClass, type QualityOfService } from "./quality.ts";
