import type { ControllerDeps } from "#cloud/controllers/framework";
import type { StorageView } from "./match.ts";

export function storageViewOf({
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
}: Pick<ControllerDeps, "persistentVolumeClaims" | "persistentVolumes" | "storageClasses">): StorageView {
  return {
    claim: (key) => persistentVolumeClaims.get(key),
    volume: (name) => persistentVolumes.get(name),
    volumes: () => persistentVolumes.list(),
    storageClass: (name) => storageClasses.get(name),
  };
}
