import { chmodSync, existsSync, lstatSync, mkdirSync, realpathSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { AppError } from "#shared/errors";
import { asText, recordOf } from "#shared/json";
import type { KubeObject, Volume } from "#shared/kube";
import { claimSourceOf, volumeSourceOf, type ClaimSource } from "#shared/volumes";
import type { Objects } from "#edge/edged/environment";
import { mountPoints } from "#edge/edged/volumes/mounts";
import { prepareHostPath } from "./plain-volumes.ts";
import { claimKey, VolumeError } from "./volume-files.ts";

/**
 * Checks and makes the directory of a claim. @returns the host's path; undefined for one that is to be mounted.
 * @throws VolumeError
 */
export function prepareClaim(
  volume: string,
  claim: NonNullable<Volume["persistentVolumeClaim"]>,
  objects: Objects,
): string | undefined {
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
      `the volume of persistentvolumeclaim ${JSON.stringify(claim.claimName)} is of a kind that is not served on this node`,
    );
  if (source.unserved !== undefined)
    throw new VolumeError(
      volume,
      `the volume ${JSON.stringify(volumeNameOf(found))} of persistentvolumeclaim ${JSON.stringify(claim.claimName)} is of a kind that is not served on this node: ${source.unserved}`,
    );
  if (source.nfs) return undefined;
  const isNew = !existsSync(source.path);
  if (isNew && source.isProvisioned) makeFolder(volume, source);
  const path = prepareHostPath(volume, source.path, source.type);
  // Pods write to it as whichever user they run; others of the host do not get through the folder above.
  if (isNew && source.isProvisioned) chmodSync(path, 0o777);
  return path;
}

function volumeNameOf({ metadata: _metadata, ...claim }: KubeObject): string {
  return asText(recordOf(claim["spec"])["volumeName"]);
}

function makeFolder(volume: string, { path, type }: ClaimSource): void {
  if (!path.startsWith("/") || path.split("/").includes("..") || type !== "DirectoryOrCreate")
    throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
}

/**
 * Removes the directory that was made for a claim. Nothing else: its name has to be that of the volume, no link is followed,
 * and where something is mounted, such as a disk of the operator, nothing is removed. @throws AppError
 */
export async function removeClaimDirectory(volume: KubeObject): Promise<void> {
  const path = claimDirectoryOf(volume);
  if (!existsSync(dirname(path))) return;
  const real = join(realpathSync(dirname(path)), basename(path));
  const found = lstatSync(real, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isDirectory()) throw notRemoved(path, "it is no directory");
  const mount = (await mountPoints()).find((point) => point === real || point.startsWith(real + sep));
  if (mount !== undefined) throw notRemoved(path, `something is mounted at ${mount}`);
  await rm(real, { recursive: true, force: true });
}

/** The path of a volume that was made here, by its name. */
function claimDirectoryOf(volume: KubeObject): string {
  const { path, isProvisioned } = volumeSourceOf(volume);
  const { name = "" } = volume.metadata;
  const isPlain = path.startsWith("/") && !path.split("/").includes("..");
  const isNamed = /^pvc-[0-9a-f-]{36}$/.test(name) && basename(path).startsWith(`${name}_`);
  if (!isProvisioned || !isPlain || !isNamed) throw notRemoved(path, "it is not the directory of a claim");
  return path;
}

function notRemoved(path: string, why: string): AppError {
  return new AppError("volume-kept", `Cannot remove ${JSON.stringify(path)}: ${why}`);
}
