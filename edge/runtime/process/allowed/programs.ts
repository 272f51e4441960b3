import { statSync, type Stats } from "node:fs";
import { basename, dirname, isAbsolute, join, normalize } from "node:path";
import { errorCodeOf } from "#shared/errors";
import { findPath, readMountPoints, type MountPoint } from "./paths.ts";
import { parentsOf } from "./users.ts";

const scheme = "process://";

/** The program that an image names, `process:///opt/edge/bin/app`; undefined for another kind of image. */
export function programOf(image: string): string | undefined {
  return image.startsWith(scheme) ? image.slice(scheme.length) : undefined;
}

/** Where commands without a slash are looked for when the container has no PATH. */
export const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export type FoundProgram =
  | { readonly ok: true; readonly path: string }
  | { readonly ok: false; readonly isMissing: boolean; readonly reason: string };

/**
 * A program that a pod may start: in one of the directories, or one of the files, of `edged.processes.programs`, by its own name and
 * by the one it links to, and nobody but root may change it.
 */
export function findProgram(name: string, allowed: readonly string[], path = usualPath): FoundProgram {
  if (name === "" || name.includes("\0") || name.includes("="))
    return refused(name, "is no path of a program");
  const points = readMountPoints();
  if (isAbsolute(name)) return checkProgram(name, allowed, points);
  if (name.includes("/")) return refused(name, "is not a path from the root");
  let found: FoundProgram = {
    ok: false,
    isMissing: true,
    reason: `program ${JSON.stringify(name)} not found`,
  };
  for (const directory of path.split(":").filter(isAbsolute)) {
    found = checkProgram(join(directory, name), allowed, points);
    if (found.ok || !found.isMissing) return found;
  }
  return found;
}

function checkProgram(name: string, allowed: readonly string[], points: readonly MountPoint[]): FoundProgram {
  if (normalize(name) !== name) return refused(name, 'may not contain "..", "." or empty parts');
  try {
    const found = findLinked(name, points);
    if (!found) return { ok: false, isMissing: true, reason: `program ${JSON.stringify(name)} not found` };
    const { path, target, server } = found;
    if (server !== undefined) return refused(name, `is on a file server, see ${server}`);
    const places = placesOf(allowed, points);
    if (![path, target].every((one) => places.some((place) => isWithin(one, place))))
      return refused(name, "is not among edged.processes.programs of this node");
    return checkFile(name, { path, target });
  } catch (error) {
    const code = errorCodeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR")
      return { ok: false, isMissing: true, reason: `program ${JSON.stringify(name)} not found` };
    throw error;
  }
}

interface Linked {
  /** With links to directories, such as /bin, followed: the program is started by this. */
  readonly path: string;
  readonly target: string;
  /** The mount point of the file server that one of them is on. */
  readonly server?: string | undefined;
}

function findLinked(name: string, points: readonly MountPoint[]): Linked | undefined {
  const folder = findPath(dirname(name), points);
  if (!folder) return undefined;
  const path = join(folder.path, basename(name));
  const found = folder.server === undefined ? findPath(path, points) : folder;
  return found && { path, target: found.path, server: found.server };
}

function checkFile(
  name: string,
  { path, target }: { readonly path: string; readonly target: string },
): FoundProgram {
  const stats = statSync(target);
  if (!stats.isFile()) return refused(name, "is not a file");
  if ((stats.mode & 0o111) === 0) return refused(name, "is not executable");
  if ((stats.mode & 0o6000) !== 0) return refused(name, "is set-user-ID or set-group-ID");
  const changeable = [target, ...parentsOf(target), ...parentsOf(path)].find(
    (one) => !isRoots(statSync(one)),
  );
  if (changeable !== undefined)
    return refused(name, `can be replaced by others than root: see ${changeable}`);
  return { ok: true, path };
}

/** Whether only root can change it. */
function isRoots({ uid, gid, mode }: Stats): boolean {
  return uid === 0 && (mode & 0o002) === 0 && ((mode & 0o020) === 0 || gid === 0);
}

/** Whether a path is another one, or below it. */
export function isWithin(path: string, place: string): boolean {
  return path === place || path.startsWith(place === "/" ? "/" : `${place}/`);
}

/** Where programs are: by the name that a file is allowed by, such as /bin/sh, and by that of the file it links to. */
export function placesOf(allowed: readonly string[], points: readonly MountPoint[]): string[] {
  const own = allowed.flatMap((one) =>
    realPathOrNone(dirname(one), points).map((dir) => join(dir, basename(one))),
  );
  return [...own, ...allowed.flatMap((one) => realPathOrNone(one, points))];
}

/** Programs may be installed later; what a file server has is not looked at. */
export function realPathOrNone(path: string, points: readonly MountPoint[]): string[] {
  try {
    const found = findPath(path, points);
    return found && found.server === undefined ? [found.path] : [];
  } catch {
    return [];
  }
}

function refused(name: string, why: string): FoundProgram {
  return { ok: false, isMissing: false, reason: `program ${JSON.stringify(name)} ${why}` };
}
