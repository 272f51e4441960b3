import { establishCrd } from "#cloud/kube-api/kinds";
import { asText, childOf, metadataOf, textOf, type JsonObject } from "#shared/json";
import type { KindRegistry } from "./kind-registry.ts";

/** Holds a definition until its objects are deleted, as upstream's finalizing controller does (`crdCleaner`). */
export const crdFinalizer = "customresourcecleanup.apiextensions.k8s.io";

/** A CustomResourceDefinition with its status and finalizer: upstream's controllers add them later. */
export function established(registry: KindRegistry, object: JsonObject, now: string): JsonObject {
  const group = textOf(childOf(object, "spec"), "group");
  const name = asText(metadataOf(object)["name"]);
  const crd = establishCrd(object, registry.taken(group, name), now);
  const metadata = metadataOf(crd);
  if (metadata["deletionTimestamp"] !== undefined) return crd;
  const finalizers = Array.isArray(metadata["finalizers"]) ? metadata["finalizers"] : [];
  if (!finalizers.includes(crdFinalizer)) metadata["finalizers"] = [...finalizers, crdFinalizer];
  return crd;
}
