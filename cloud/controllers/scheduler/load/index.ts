/** Nodes and what their pods need of them. */
export { SchedulerCache } from "./cache.ts";
export { needsOf, type PodNeeds } from "./needs.ts";
export { changedLoad, countSelected, MutableLoad, type NodeLoad } from "./node-load.ts";
export {
  DomainCounts,
  labelMatcher,
  type AffinityRule,
  type LabeledPod,
  type NamespaceLabels,
} from "./pod-selection.ts";
