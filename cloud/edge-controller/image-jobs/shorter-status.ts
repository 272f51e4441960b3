import type { ImagePrePullStatus, NodeStatus } from "./job.ts";

/** A status as it is written; null removes what was written before. */
export type WrittenStatus = Omit<ImagePrePullStatus, "status"> & {
  readonly status?: readonly NodeStatus[] | null;
};

/** The whole status of a job, and ever less of it for an API that refuses more. */
export const statusForms: readonly ((status: ImagePrePullStatus) => WrittenStatus)[] = [
  (status) => status,
  (status) => withNodes(status, (node) => (node.nodeStatus.state === "Failed" ? node : withoutImages(node))),
  (status) => withNodes(status, withoutImages),
  summaryOf,
];

function withNodes(status: ImagePrePullStatus, change: (node: NodeStatus) => NodeStatus): WrittenStatus {
  return { ...status, status: (status.status ?? []).map(change) };
}

function withoutImages({ nodeStatus }: NodeStatus): NodeStatus {
  return { nodeStatus };
}

function summaryOf(status: ImagePrePullStatus): WrittenStatus {
  const states = (status.status ?? []).map(({ nodeStatus }) => nodeStatus.state);
  const count = (state: string): number => states.filter((one) => one === state).length;
  const counts = `${count("Successful")} of ${states.length} nodes have succeeded, ${count("Failed")} have failed`;
  const reasons = [status.reason, counts, "the API refused the states of the nodes"];
  return { ...status, status: null, reason: reasons.filter((one) => one !== undefined).join("; ") };
}
