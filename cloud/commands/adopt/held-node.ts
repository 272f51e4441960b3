import type { Node } from "#shared/kube";

/** On a Node: the database of the cloud that an operator adopted for it and the node has not heard of yet. */
export const adoptAnnotation = "kubeedge.io/adopt-database";

/** Whether the node says that it holds this cloud back. */
export function isHeldBack({ status }: Node): boolean {
  return (status?.conditions ?? []).some(
    ({ type, status: is }) => type === "CloudDatabaseChanged" && is === "True",
  );
}
