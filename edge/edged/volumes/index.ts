export { removeClaimDirectory } from "./claim-volume.ts";
export { containerMounts, type ContainerMounts } from "./container-mounts.ts";
export { releaseAll, removePodDir, type ReadMounts } from "#edge/edged/volumes/mounts";
export { PodVolumes, readPodName, type PodVolumesOptions } from "./pod-volumes.ts";
export { readTerminationLog, terminationLogPath } from "./termination-log.ts";
export { volumeTokenRequests, VolumeError, volumeReferences } from "./volume-files.ts";
