import { existsSync, lstatSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { quantityNumber, type Pod, type Volume } from "#shared/kube";
import { openVolume, type VolumePlace } from "./file-volume.ts";
import { isMounted } from "#edge/edged/volumes/mounts";
import { VolumeError } from "./volume-files.ts";

/** Checks and makes what a hostPath asks for. @returns the host's path */
export function prepareHostPath(volume: string, path: string, type: string): string {
  if (!isPlainPath(path)) throw new VolumeError(volume, `invalid path ${JSON.stringify(path)}`);
  const found = lstatSync(existsSync(path) ? realpathSync(path) : path, { throwIfNoEntry: false });
  // Without a type container engines make the directory.
  if ((type === "DirectoryOrCreate" || type === "") && !found)
    mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (type === "FileOrCreate" && !found) writeFileSync(path, "", { mode: 0o644, flag: "wx" });
  else if (type !== "" && !matchesType(found, type)) {
    throw new VolumeError(volume, `hostPath type check failed: ${path} is not a ${hostTypes[type] ?? type}`);
  }
  return path;
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

/**
 * A directory that lives as long as the pod; in memory when asked for. Owner and mode are set when it is made: what
 * the pod made of them later stays. `path` is where it is mounted from.
 */
export function prepareEmptyDir(place: VolumePlace, path: string, { volume, pod }: EmptyDirOptions): void {
  const { medium = "" } = volume.emptyDir ?? {};
  if (medium !== "" && medium !== "Memory")
    throw new VolumeError(
      volume.name,
      `emptyDir medium ${JSON.stringify(medium)} is not supported on this node`,
    );
  const gid = pod.spec.securityContext?.fsGroup;
  const mode = gid === undefined ? 0o777 : 0o2777;
  openVolume(place, { gid, mode })[Symbol.dispose]();
  if (medium !== "Memory" || isMounted(path)) return;
  const size = memoryLimit(volume, pod);
  const options = [
    `mode=${mode.toString(8).padStart(4, "0")}`,
    ...(gid === undefined ? [] : [`gid=${gid}`]),
    ...(size === undefined ? [] : [`size=${Math.ceil(size)}`]),
  ];
  const result = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options.join(","), "tmpfs", path]);
  if (!result.success) throw new VolumeError(volume.name, `mount failed: ${result.stderr.toString().trim()}`);
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
