import { refusals } from "#cloud/kube-api/status";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, numberOf, textOf } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import { everyObject, type NewObject } from "./new-object.ts";

/** HighestUserDefinablePriority; what is above is for the system. */
const highest = 1_000_000_000;

/** The classes that every cluster has. */
export const systemClasses: readonly KubeObject[] = [
  systemClass(
    "system-cluster-critical",
    2_000_000_000,
    "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  ),
  systemClass(
    "system-node-critical",
    2_000_001_000,
    "Used for system critical pods that must not be moved from their current node.",
  ),
];

function systemClass(name: string, value: number, description: string): KubeObject {
  return {
    apiVersion: "scheduling.k8s.io/v1",
    kind: "PriorityClass",
    metadata: { name },
    value,
    description,
  };
}

/** Only the system has names with its prefix and values above the highest; one class is the default. @throws Refusal */
export function checkPriorityClass({ kind, name, object }: NewObject, store: RevisionStore): void {
  const value = numberOf(object, "value") ?? 0;
  const isSystem = systemClasses.some((one) => one.metadata.name === name && one["value"] === value);
  if (name.startsWith("system-") && !isSystem)
    throw refusals.forbidden(
      kind,
      name,
      "priority class names with 'system-' prefix are reserved for system use only",
    );
  if (value > highest && !isSystem)
    throw refusals.forbidden(kind, name, `maximum allowed value of a user defined priority is ${highest}`);
  const other = object.globalDefault === true ? defaultClass(store) : undefined;
  if (other !== undefined)
    throw refusals.forbidden(
      kind,
      name,
      `PriorityClass ${other} is already marked as default. Only one default can exist`,
    );
}

function defaultClass(store: RevisionStore): string | undefined {
  const found = everyObject(store, "scheduling.k8s.io/priorityclasses").find(
    (one) => one.globalDefault === true,
  );
  return found && textOf(childOf(found, "metadata"), "name");
}
