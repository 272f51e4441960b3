import { randomUUID } from "node:crypto";
import { renameSync, rmSync, symlinkSync } from "node:fs";
import { isErrno, type Directory } from "#edge/edged/volumes/held-paths";
import { VolumeError, type VolumeFile } from "./volume-files.ts";

/** Where the directory of one volume is. `staging` lies beside it on the same disk and is mounted into no container. */
export interface VolumePlace {
  readonly volumes: Directory;
  readonly staging: Directory;
  readonly name: string;
}

export interface FileVolumeOptions {
  readonly files: readonly VolumeFile[];
  /** Group that may read the files, of a pod's `fsGroup`. */
  readonly gid: number | undefined;
  readonly stamp: string;
}

type Tree = Map<string, VolumeFile | Tree>;

const dataLink = "..data";
/** A larger file in the place of a token is none: tokens have about 1 KiB. */
const mostTokenBytes = 65_536;

/**
 * Writes files so that readers see either all old or all new ones, as Kubernetes' AtomicWriter does: a new timestamped
 * directory, `..data` swapped to it by rename, and links `<name>` → `..data/<name>`. The new directory is built in
 * `staging` and renamed into place; what is to be removed is renamed out first. A container that can write to the volume
 * can spoil its own files, and nothing else. @returns whether anything changed
 */
export function writeFiles(place: VolumePlace, options: FileVolumeOptions): boolean {
  const { files, gid, stamp } = options;
  const tree = treeOf(place.name, files);
  using volume = openVolume(place, { gid, mode: gid === undefined ? 0o755 : 0o2755 });
  if (isCurrent(volume, tree, gid)) return false;
  const fresh = `..${stamp}`;
  buildTree(place.staging, fresh, tree, gid);
  discard(place, volume, fresh);
  renameSync(place.staging.at(fresh), volume.at(fresh));
  putLink(place, volume, dataLink, fresh);
  for (const name of tree.keys()) putLink(place, volume, name, `${dataLink}/${name}`);
  for (const name of volume.names())
    if (name !== dataLink && name !== fresh && !tree.has(name)) discard(place, volume, name);
  return true;
}

/** A file of an earlier write, to keep what cannot be renewed now. */
export function readKept(place: Omit<VolumePlace, "staging">, path: string): Buffer | undefined {
  try {
    using volume = place.volumes.enter(place.name);
    using data = enterData(volume);
    return data && readBelow(data, path.split("/"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** Enters the directory of a volume; a new one appears with its owner and mode. */
export function openVolume(
  { volumes, staging, name }: VolumePlace,
  attributes: { readonly gid: number | undefined; readonly mode: number },
): Directory {
  if (volumes.find(name)) return volumes.enter(name);
  const temporary = randomUUID();
  using made = staging.ensure(temporary, 0o700);
  made.set(attributes);
  renameSync(staging.at(temporary), volumes.at(name));
  return volumes.enter(name);
}

function treeOf(volume: string, files: readonly VolumeFile[]): Tree {
  const root: Tree = new Map();
  for (const file of files) {
    const parts = file.path.split("/");
    const last = parts.pop() ?? "";
    let folder = root;
    for (const part of parts) {
      const next = folder.get(part) ?? new Map();
      if (!(next instanceof Map)) throw conflict(volume, file.path);
      folder.set(part, next);
      folder = next;
    }
    if (folder.get(last) instanceof Map) throw conflict(volume, file.path);
    folder.set(last, file);
  }
  return root;
}

function conflict(volume: string, path: string): VolumeError {
  return new VolumeError(volume, `conflicting paths: ${JSON.stringify(path)} is a file and a directory`);
}

function buildTree(parent: Directory, name: string, tree: Tree, gid: number | undefined): void {
  rmSync(parent.at(name), { recursive: true, force: true });
  using dir = parent.ensure(name, 0o700);
  for (const [entry, item] of tree) {
    if (item instanceof Map) buildTree(dir, entry, item, gid);
    else dir.write(entry, item.data, { uid: item.uid, gid, mode: modeOf(item, gid) });
  }
  dir.set({ gid, mode: gid === undefined ? 0o755 : 0o2755 });
}

/** kubelet: the group of `fsGroup` may read what is mounted read-only. */
function modeOf({ mode }: VolumeFile, gid: number | undefined): number {
  return gid === undefined ? mode : mode | 0o440;
}

function isCurrent(volume: Directory, tree: Tree, gid: number | undefined): boolean {
  try {
    using data = enterData(volume);
    if (!data || !holds(data, tree, gid)) return false;
    const links = [...tree.keys()].every((name) => volume.readLink(name) === `${dataLink}/${name}`);
    // `..data` and the directory it names.
    return links && volume.names().length === tree.size + 2;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw error;
  }
}

function enterData(volume: Directory): Directory | undefined {
  const target = volume.readLink(dataLink);
  return target === undefined || !/^\.\.[^/.][^/]*$/.test(target) ? undefined : volume.enter(target);
}

function holds(dir: Directory, tree: Tree, gid: number | undefined): boolean {
  if (dir.names().length !== tree.size) return false;
  for (const [name, item] of tree) {
    if (!(item instanceof Map)) {
      const found = dir.find(name);
      const asWanted = found !== undefined && (found.mode & 0o7777) === modeOf(item, gid);
      if (!asWanted || dir.read(name, item.data.length)?.equals(item.data) !== true) return false;
      continue;
    }
    using inner = dir.enter(name);
    if (!holds(inner, item, gid)) return false;
  }
  return true;
}

function readBelow(dir: Directory, [name = "", ...rest]: readonly string[]): Buffer | undefined {
  if (rest.length === 0) return dir.read(name, mostTokenBytes);
  using inner = dir.enter(name);
  return readBelow(inner, rest);
}

/** Replaces whatever has the name by a link. */
function putLink(place: VolumePlace, volume: Directory, name: string, target: string): void {
  if (volume.readLink(name) === target) return;
  const temporary = randomUUID();
  symlinkSync(target, place.staging.at(temporary));
  if (volume.find(name)?.isDirectory() === true) discard(place, volume, name);
  renameSync(place.staging.at(temporary), volume.at(name));
}

/** Moves an entry out of the container's reach, then removes it. */
function discard({ staging }: VolumePlace, volume: Directory, name: string): void {
  if (!volume.find(name)) return;
  const temporary = randomUUID();
  renameSync(volume.at(name), staging.at(temporary));
  rmSync(staging.at(temporary), { recursive: true, force: true });
}
