import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, ensureChild, metadataOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { everyObject, type NewObject } from "./new-object.ts";

const defaultAnnotations = [
  "storageclass.kubernetes.io/is-default-class",
  "storageclass.beta.kubernetes.io/is-default-class",
];

/** A claim that names no class gets the default one, the newest of several; as DefaultStorageClass. */
export function chooseStorageClass({ object }: NewObject, store: RevisionStore): void {
  const spec = ensureChild(object, "spec");
  if (spec.storageClassName !== undefined && spec.storageClassName !== null) return;
  const [chosen] = everyObject(store, "storage.k8s.io/storageclasses")
    .filter(isDefault)
    .toSorted((a, b) => (createdAt(b) < createdAt(a) ? -1 : 1));
  if (chosen) spec.storageClassName = textOf(childOf(chosen, "metadata"), "name");
}

function isDefault(storageClass: JsonObject): boolean {
  const annotations = textMapOf(childOf(storageClass, "metadata"), "annotations");
  return defaultAnnotations.some((name) => annotations[name] === "true");
}

function createdAt(storageClass: JsonObject): string {
  const metadata = childOf(storageClass, "metadata");
  return `${textOf(metadata, "creationTimestamp")} ${textOf(metadata, "name")}`;
}

/** Keeps an object until a controller sees that nobody uses it; as StorageObjectInUseProtection. */
export function protect(finalizer: string): (created: NewObject) => void {
  return ({ object }) => {
    const metadata = metadataOf(object);
    const finalizers = Array.isArray(metadata["finalizers"]) ? metadata["finalizers"] : [];
    if (!finalizers.includes(finalizer)) metadata["finalizers"] = [...finalizers, finalizer];
  };
}
