/** Binds claims to volumes, makes volumes of the class local-path, and keeps both while they are used. */
export { startVolumeBinder } from "./binder.ts";
export { ClaimWriter } from "./claim-writer.ts";
export { localPathClass } from "./local-path.ts";
export { type StorageView } from "./match.ts";
export { decide, podVolumesOf, volumeObstacle, type PodVolumes } from "./pod-volumes.ts";
export { startStorageProtection } from "./protection.ts";
export { storageViewOf } from "./storage-view.ts";
