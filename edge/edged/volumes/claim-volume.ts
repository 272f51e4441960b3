import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Volume } from "#shared/kube";
import { claimSourceOf, type ClaimSource } from "#shared/volumes";
import type { Objects } from "#edge/edged/environment";
import { prepareHostPath } from "./plain-volumes.ts";
import { claimKey, VolumeError } from "./volume-files.ts";

/** Checks and makes the directory of a claim. @returns the host's path. @throws VolumeError */
export function prepareClaim(
  volume: string,
  claim: NonNullable<Volume["persistentVolumeClaim"]>,
  objects: Objects,
): string {
  const found = objects.get(claimKey(claim));
  if (!found)
    throw new VolumeError(
      volume,
      `persistentvolumeclaim ${JSON.stringify(claim.claimName)} not found, or not bound`,
    );
  const source = claimSourceOf(found);
  if (!source)
    throw new VolumeError(
      volume,
      `the volume of persistentvolumeclaim ${JSON.stringify(claim.claimName)} is neither hostPath nor local`,
    );
  const isNew = !existsSync(source.path);
  if (isNew && source.isProvisioned) makeFolder(volume, source);
  const path = prepareHostPath(volume, source.path, source.type);
  // Pods write to it as whichever user they run; others of the host do not get through the folder above.
  if (isNew && source.isProvisioned) chmodSync(path, 0o777);
  return path;
}

function makeFolder(volume: string, { path, type }: ClaimSource): void {
  if (!path.startsWith("/") || path.split("/").includes("..") || type !== "DirectoryOrCreate")
    throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}
