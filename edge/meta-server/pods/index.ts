/** Logs, processes and ports of the pods of this node, for clients of the API on the node. */
export {
  podRequestTarget,
  PodRequests,
  upgradablePaths,
  type PodApiRequest,
  type PodRequestsOptions,
  type PodRequestTarget,
} from "./pod-requests.ts";
