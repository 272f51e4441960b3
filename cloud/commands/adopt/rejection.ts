import type { Node } from "#shared/kube";

/** On a Node: the database of the cloud that an operator adopted for it, until the node has acknowledged it. */
export const adoptAnnotation = "kubeedge.io/adopt-database";

/** Whether the node reports that it rejects this cloud, as its database is not the one the node knows. */
export function rejectsCloud({ status: nodeStatus }: Node): boolean {
  return (nodeStatus?.conditions ?? []).some(
    ({ type, status }) => type === "CloudDatabaseChanged" && status === "True",
  );
}
