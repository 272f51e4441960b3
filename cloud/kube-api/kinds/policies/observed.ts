import { ensureChild, metadataOf, type JsonObject } from "#shared/json";
import { typeChecking } from "./type-check.ts";

/**
 * Notes in the status of a policy that it is in force as it is, and which fields it uses in vain: its expressions are compiled
 * before it is stored.
 */
export function markObserved(policy: JsonObject): void {
  const { generation } = metadataOf(policy);
  if (generation === undefined) return;
  const status = ensureChild(policy, "status");
  status["observedGeneration"] = generation;
  status["typeChecking"] = typeChecking(policy);
}
