import type { JsonBody } from "#shared/topics";

/** A device in the list of members that the cloud sends. KubeEdge's cloudcore sends the id alone. */
export interface MemberName {
  readonly id: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly uid: string | undefined;
}

/** Fields of a wrong type are as absent ones; `id` is empty when there is none. */
export function readMember(entry: JsonBody): MemberName {
  const [id, name, namespace, uid] = ["id", "name", "namespace", "uid"].map((key) => {
    const value = entry[key];
    return typeof value === "string" && value !== "" ? value : undefined;
  });
  return { id: id ?? "", name: name ?? id ?? "", namespace, uid };
}
