import { parseObject } from "#cloud/kube-api/schema";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, ensureChild, metadataOf, textMapOf, textOf, type JsonObject } from "#shared/json";
import { compareQuantities, parseQuantity } from "#shared/kube";
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

/** A volume grows where its class says that it can (plugin/pkg/admission/storage/persistentvolume/resize). @returns why not */
export function growthFault(
  { object, current }: { readonly object: JsonObject; readonly current: JsonObject },
  store: RevisionStore,
): string | undefined {
  const [size, before] = [object, current].map((claim) => {
    const requests = childOf(childOf(childOf(claim, "spec"), "resources"), "requests");
    return parseQuantity(textOf(requests, "storage"));
  });
  if (!size || !before || compareQuantities(size, before) <= 0) return undefined;
  if (textOf(childOf(current, "status"), "phase") !== "Bound")
    return "Only bound persistent volume claims can be expanded";
  const name = textOf(childOf(object, "spec"), "storageClassName");
  const text = store.get("storage.k8s.io/storageclasses", `/${name}`);
  if (text !== undefined && parseObject(text)["allowVolumeExpansion"] === true) return undefined;
  return "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
}
