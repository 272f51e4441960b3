import type { NamespaceLabels, NodeLoad } from "#cloud/controllers/scheduler/load";

/** What scores look at besides the nodes that fit. */
export interface ScoredNodes {
  /** All nodes. */
  readonly loads: readonly NodeLoad[];
  readonly namespaceLabels: NamespaceLabels;
}
