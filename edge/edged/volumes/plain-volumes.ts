import { existsSync, lstatSync, mkdirSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "#shared/clock";
import { quantityNumber, type Pod, type Volume } from "#shared/kube";
import { openVolume, type VolumePlace } from "./file-volume.ts";
import { runTool } from "#edge/edged/volumes/mounts";
import { VolumeError } from "./volume-files.ts";

/**
 * Checks and makes what a hostPath asks for. @param mayMake false for processes, which get nothing made by root on the host
 * @returns the host's path. @throws VolumeError
 */
export function prepareHostPath(volume: string, path: string, type: string, mayMake = true): string {
  if (!isPlainPath(path)) throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
  const found = lstatSync(existsSync(path) ? realpathSync(path) : path, { throwIfNoEntry: false });
  if (!found && !mayMake)
    throw new VolumeError(volume, `hostPath.path ${path} does not exist: it is not made for processes`);
  if (!found && makeHostPath(path, type)) return path;
  if (type !== "" && !matchesType(found, type)) {
    throw new VolumeError(volume, `hostPath type check failed: ${path} is not a ${hostTypes[type] ?? type}`);
  }
  return path;
}

/** @returns whether it is of a type that is made */
function makeHostPath(path: string, type: string): boolean {
  // Without a type container engines make the directory.
  if (type === "DirectoryOrCreate" || type === "") mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate") writeFileSync(path, "", { mode: 0o644, flag: "wx" });
  else return false;
  return true;
}

function isPlainPath(path: string): boolean {
  return path.startsWith("/") && !path.includes("\0") && !path.split("/").includes("..");
}

const hostTypes: Readonly<Record<string, string>> = {
  Directory: "directory",
  DirectoryOrCreate: "directory",
  File: "file",
  FileOrCreate: "file",
  Socket: "socket file",
  CharDevice: "character device",
  BlockDevice: "block device",
};

function matchesType(found: ReturnType<typeof lstatSync> | undefined, type: string): boolean {
  if (!found) return false;
  if (type.startsWith("Directory")) return found.isDirectory();
  if (type.startsWith("File")) return found.isFile();
  if (type === "Socket") return found.isSocket();
  return type === "CharDevice" ? found.isCharacterDevice() : type === "BlockDevice" && found.isBlockDevice();
}

/** A directory that lives as long as the pod. Owner and mode are set when it is made: what the pod made of them later stays. */
export function prepareEmptyDir(place: VolumePlace, { volume, pod }: EmptyDirOptions): void {
  const { medium = "" } = volume.emptyDir ?? {};
  if (medium !== "" && medium !== "Memory")
    throw new VolumeError(
      volume.name,
      `emptyDir medium ${JSON.stringify(medium)} is not supported on this node`,
    );
  openVolume(place, { gid: groupOf(pod), mode: modeOf(pod) })[Symbol.dispose]();
}

/** Mounts memory at the directory of an emptyDir, unless that was done. @throws VolumeError */
export async function mountMemory(
  path: string,
  { volume, pod }: EmptyDirOptions,
  clock: Clock,
): Promise<void> {
  // The directory itself is on the disk of the others.
  if (statSync(path).dev !== statSync(dirname(path)).dev) return;
  const gid = groupOf(pod);
  const size = memoryLimit(volume, pod);
  const options = [
    `mode=${modeOf(pod).toString(8).padStart(4, "0")}`,
    ...(gid === undefined ? [] : [`gid=${gid}`]),
    ...(size === undefined ? [] : [`size=${Math.ceil(size)}`]),
  ];
  const command = ["mount", "-t", "tmpfs", "-o", options.join(","), "tmpfs", path];
  const failure = await runTool(command, { clock, limitMs: mountMs });
  if (failure !== undefined) throw new VolumeError(volume.name, `mount failed: ${failure}`);
}

const mountMs = 30_000;

function groupOf({ spec }: Pod): number | undefined {
  return spec.securityContext?.fsGroup;
}

function modeOf(pod: Pod): number {
  return groupOf(pod) === undefined ? 0o777 : 0o2777;
}

export interface EmptyDirOptions {
  readonly volume: Volume;
  readonly pod: Pod;
}

/** kubelet: no more than what the pod's containers may use together; without limits the kernel allows half of the memory. */
function memoryLimit({ emptyDir }: Volume, { spec }: Pod): number | undefined {
  const limit = quantityNumber(emptyDir?.sizeLimit) || undefined;
  const limits = spec.containers.map(({ resources }) => quantityNumber(resources?.limits?.["memory"]));
  const known = limits.filter((limit) => limit !== undefined).filter((limit) => limit > 0);
  const total = known.length === limits.length ? known.reduce((sum, limit) => sum + limit, 0) : undefined;
  const sizes = [limit, total].filter((size) => size !== undefined);
  return sizes.length > 0 ? Math.min(...sizes) : undefined;
}
