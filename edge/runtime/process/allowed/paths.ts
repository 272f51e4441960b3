import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { AppError, errorCodeOf } from "#shared/errors";

/** Kinds of file systems with a server, or a program, that may not answer. Disks by FUSE are of kind fuseblk. */
const served =
  /^(nfs\d?|cifs|smb\d?|smbfs|ceph|9p|afs|lustre|beegfs|ncpfs|coda|ocfs2|gfs2|autofs|fuse|fuse\..*)$/;
/** Linux: MAXSYMLINKS. */
const mostLinks = 40;

export interface FoundPath {
  /** The real path; as far as it is known where a file server has it. */
  readonly path: string;
  /** The mount point of the file server that has it. */
  readonly server?: string;
}

export interface MountPoint {
  readonly path: string;
  readonly isServed: boolean;
  /** Whether it shows the processes of the machine: proc(5). */
  readonly isProc: boolean;
  readonly isReadOnly: boolean;
}

/** What is mounted now, in the order of proc(5), mountinfo. A root file system of a server counts as a disk: all depends on it. */
export function readMountPoints(): MountPoint[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, , , , point = "", flags = ""] = line.split(" ");
      const path = decode(point);
      const kind = line.split(" - ")[1]?.split(" ")[0] ?? "";
      const isReadOnly = flags.split(",").includes("ro");
      return { path, isServed: path !== "/" && served.test(kind), isProc: kind === "proc", isReadOnly };
    });
}

/**
 * What `realpath` finds, without a look into file systems of servers: one that hangs would hold up edgecore.
 * @returns undefined when nothing is there
 * @throws Error of Node for other faults, AppError "ELOOP"
 */
export function findPath(path: string, points: readonly MountPoint[]): FoundPath | undefined {
  const servers = new Set(points.flatMap((one) => (one.isServed ? [one.path] : [])));
  return walk({ path: "/", rest: partsOf(path), links: 0 }, servers);
}

interface Walk {
  readonly path: string;
  readonly rest: readonly string[];
  readonly links: number;
}

function walk(from: Walk, servers: ReadonlySet<string>): FoundPath | undefined {
  let { path, rest, links } = from;
  while (rest.length > 0) {
    const [name = "", ...others] = rest;
    rest = others;
    if (name === "..") {
      path = dirname(path);
      continue;
    }
    const next = join(path, name);
    if (servers.has(next)) return { path: normalize(join(next, ...rest)), server: next };
    const found = lookAt(next);
    if (!found) return undefined;
    if (!found.isSymbolicLink()) {
      // As the kernel: only a directory has something below.
      if (rest.length > 0 && !found.isDirectory()) return undefined;
      path = next;
      continue;
    }
    links += 1;
    if (links > mostLinks) throw new AppError("ELOOP", `too many links on the way to ${next}`);
    const target = readlinkSync(next);
    if (target.startsWith("/")) path = "/";
    rest = [...partsOf(target), ...rest];
  }
  return { path };
}

function lookAt(path: string): ReturnType<typeof lstatSync> | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(errorCodeOf(error) ?? "")) return undefined;
    throw error;
  }
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

/** proc(5): blanks and the like are in octal. */
function decode(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
