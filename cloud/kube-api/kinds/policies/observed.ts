import { ensureChild, metadataOf, type JsonObject } from "#shared/json";

/** Notes in the status of a policy that it is in force as it is: its expressions are compiled before it is stored. */
export function markObserved(policy: JsonObject): void {
  const { generation } = metadataOf(policy);
  if (generation !== undefined) ensureChild(policy, "status")["observedGeneration"] = generation;
}
