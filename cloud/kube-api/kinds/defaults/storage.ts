import { ensureChild, setDefault, setDefaultText, type JsonObject } from "#shared/json";

export function defaultStorageClass(object: JsonObject): void {
  setDefaultText(object, "reclaimPolicy", "Delete");
  setDefaultText(object, "volumeBindingMode", "Immediate");
}

export function defaultCsiDriver(object: JsonObject): void {
  const spec = ensureChild(object, "spec");
  setDefault(spec, "attachRequired", true);
  setDefault(spec, "podInfoOnMount", false);
  setDefault(spec, "storageCapacity", false);
  setDefault(spec, "requiresRepublish", false);
  setDefault(spec, "seLinuxMount", false);
  setDefaultText(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
  setDefault(spec, "volumeLifecycleModes", ["Persistent"]);
}

export function defaultVolumeAttachment(object: JsonObject): void {
  setDefault(ensureChild(object, "status"), "attached", false);
}
