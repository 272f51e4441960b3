import { lstatSync, mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import type { Mount } from "#edge/runtime";
import {
  findBarrier,
  findPath,
  isWithin,
  placesOf,
  readMountPoints,
  realPathOrNone,
  unsteadyParent,
  type MountPoint,
  type ProcessUser,
  type ProcessUsers,
} from "#edge/runtime/process/allowed";
import { quoteWord, type Tools } from "./tools.ts";

export interface ViewInput {
  /** Where it is put together: an empty directory that only root can reach. */
  readonly root: string;
  readonly mounts: readonly Mount[];
  readonly user: ProcessUser;
  readonly allowed: ProcessUsers;
  /** Directories and files of programs: nothing is mounted over them. */
  readonly programs: readonly string[];
  readonly dataDir: string;
  readonly tools: Tools;
}

/** The one file that is made on the host, which all pods have: nothing reads it, and it is in memory. */
const terminationLog = "/dev/termination-log";
/** What is loaded or started by programs of the machine: `env`, the loader, libraries, and the links that lead to them. */
const systemPlaces =
  /^\/((usr|bin|sbin|lib[^/]*|boot|nix|gnu)(\/.*)?|etc(\/(alternatives|ld\.so[^/]*|ld-musl[^/]*)(\/.*)?)?)$/;

interface PlanInput extends ViewInput {
  readonly points: readonly MountPoint[];
  /** Where programs of `programs` are. */
  readonly places: readonly string[];
  /** Below it are mount points of many pods, such as that of their tokens: memory of the view takes its place there. */
  readonly secretsDir: string;
}

/**
 * Commands for a shell, in a mount namespace of its own, that put together what a container sees: the host's directories with the
 * mounts of the container at their places. The shell itself goes on seeing the host, so that no tool that it starts as root is
 * taken from what the pod brings. @returns a text when something cannot be mounted
 */
export function viewCommands(input: ViewInput): string[] | string {
  const { root, mounts, tools } = input;
  const { mount } = tools;
  const at = (path: string): string => quoteWord(join(root, path));
  const lines = [
    `${mount} -t tmpfs -o mode=755,size=1m,nosuid tmpfs ${quoteWord(root)}`,
    // A copy of the host's directories does not hold this one again.
    `${mount} --make-unbindable ${quoteWord(root)}`,
    ...hostEntries(input),
    `${tools.mkdir} ${at("proc")}`,
    `${mount} -t proc -o nosuid,nodev,noexec proc ${at("proc")}`,
  ];
  const points = readMountPoints();
  const places = placesOf(input.programs, points);
  const secretsDir = join(realPathOrNone("/run", points)[0] ?? "/run", "secrets");
  const targets: string[] = [];
  for (const one of mounts) {
    const planned = planMount(one, { ...input, points, places, secretsDir }, targets);
    if (typeof planned === "string") return planned;
    const { source, target, make } = planned;
    if (isWithin(target, secretsDir) && !targets.some((other) => isWithin(other, secretsDir)))
      lines.push(`${mount} -t tmpfs -o mode=755,size=1m,nosuid,nodev,noexec tmpfs ${at(secretsDir)}`);
    targets.push(target);
    if (make) lines.push(make);
    lines.push(`${mount} --rbind ${quoteWord(source)} ${at(target)}`);
    lines.push(...flagCommands(one, { source, at: join(root, target) }, input, points));
  }
  return [...lines, ...releases(input, points)];
}

/**
 * Nothing of a volume is a device, or is executed or loaded as code: otherwise it would take the place of a program that is
 * allowed. Devices of the host keep their meaning. What is mounted below a volume is treated alike, and what is read-only stays so.
 */
function flagCommands(
  { readOnly, hostPath }: Mount,
  { source, at }: { readonly source: string; readonly at: string },
  { tools: { mount, umount } }: ViewInput,
  points: readonly MountPoint[],
): string[] {
  const isDevice = hostPath !== undefined && isWithin(source, "/dev");
  // Without the helpers of file systems, such as mount.nfs, which do more than set flags.
  const flags = `${mount} -i -o remount,bind,nosuid,noexec${isDevice ? "" : ",nodev"}`;
  const held = holderOf(source, points);
  const holder = points.findLast(({ path }) => path === held);
  const below = points.filter(({ path }) => path !== source && isWithin(path, source));
  return [
    `${flags}${readOnly || holder?.isReadOnly ? ",ro" : ""} ${quoteWord(at)}`,
    ...below.map(({ path, isReadOnly }) => {
      const point = quoteWord(join(at, path.slice(source.length)));
      const unmount = `${umount} -l ${point} 2>/dev/null || :`;
      return `${flags}${isReadOnly ? ",ro" : ""} ${point} 2>/dev/null || ${unmount}`;
    }),
  ];
}

/** The mount point that a path is in. */
function holderOf(path: string, points: readonly MountPoint[]): string {
  return points
    .map((one) => one.path)
    .filter((one) => isWithin(path, one))
    .reduce((longest, one) => (one.length > longest.length ? one : longest), "/");
}

function hostEntries({ root, tools }: ViewInput): string[] {
  return readdirSync("/", { withFileTypes: true }).flatMap((entry) => {
    const path = `/${entry.name}`;
    const at = quoteWord(join(root, path));
    if (path === "/proc") return [];
    if (entry.isSymbolicLink()) return [`${tools.ln} -s ${quoteWord(readlinkSync(path))} ${at}`];
    // Files there are of the boot loader or the container that the machine is.
    return entry.isDirectory()
      ? [`${tools.mkdir} ${at}`, `${tools.mount} --rbind ${quoteWord(path)} ${at}`]
      : [];
  });
}

interface PlannedMount {
  readonly source: string;
  readonly target: string;
  /** The command that makes a mount point in the view. */
  readonly make?: string;
}

function planMount(mount: Mount, input: PlanInput, others: readonly string[]): PlannedMount | string {
  const { allowed, places, points } = input;
  const where = `mountPath ${mount.target}`;
  if (mount.propagation === "rslave" || mount.propagation === "rshared")
    return `mountPropagation of ${where} is not supported for processes`;
  const barred = findHostFault(mount, input);
  if (barred !== undefined) return barred;
  const found = findPath(mount.source, points);
  if (!found) return `bind source path does not exist: ${mount.source}`;
  const place = placeOf(normalize(mount.target).replace(/(.)\/+$/, "$1"), points);
  if (typeof place === "string") return `${where} is on a file server, see ${place}`;
  const fault = findFault(place.target, places, others);
  if (fault !== undefined) return `${where} ${fault}`;
  const loose = unsteadyParent(join(place.parent, "x"), allowed);
  if (loose !== undefined) return `${where}: others than root can replace what is in ${loose}`;
  // What a server has is not looked at: a volume is a directory.
  const isDirectory = found.server !== undefined || statSync(found.path).isDirectory();
  const point = planPoint(place, isDirectory, input);
  return typeof point === "string" ? `${where} ${point}` : { source: found.path, ...point };
}

/** Where a mount goes, and how that is made where it is not there. @returns a text when it cannot be */
function planPoint(
  { target, parent, missing }: Place,
  isDirectory: boolean,
  { root, secretsDir, tools }: PlanInput,
): Omit<PlannedMount, "source"> | string {
  const isSecret = isWithin(dirname(target), secretsDir);
  if (isSecret) makeHostDirectory(secretsDir);
  if (isSecret || (missing.length > 0 && parent === "/"))
    return { target, make: makeCommand(join(root, target), isDirectory, tools) };
  if (missing.length > 0) {
    if (target !== terminationLog || isDirectory)
      return "(or terminationMessagePath) does not exist on this node: create it, or choose a new one below /";
    makeHostFile(terminationLog);
  } else if (statSync(target).isDirectory() !== isDirectory)
    return `is ${isDirectory ? "not a directory" : "a directory"} on this node`;
  return { target };
}

/** A volume of the host gives a program nothing that its user could not reach without it. */
function findHostFault(
  { hostPath, source: given }: Mount,
  { allowed, user, points }: PlanInput,
): string | undefined {
  if (hostPath === undefined) return undefined;
  const where = `hostPath ${hostPath}`;
  // What they lead to was found by root, past directories that the user may not enter.
  if (given !== hostPath) return `${where}: subPath and recursiveReadOnly are not supported for processes`;
  const found = findPath(hostPath, points);
  if (!found) return `${where} does not exist on this node: it is not made for processes`;
  const { path: source, server } = found;
  if (server !== undefined && server !== source) return `${where} is on a file server, see ${server}`;
  const shown = points.find(
    ({ path, isProc }) => isProc && (isWithin(source, path) || isWithin(path, source)),
  );
  if (shown) return `${where}: ${shown.path} shows all processes of this node, and is not given to processes`;
  const loose = unsteadyParent(source, allowed);
  if (loose !== undefined) return `${where}: others than root can replace what is in ${loose}`;
  const barrier = findBarrier(source, user);
  return barrier && `${where}: user ${user.uid} may not enter ${barrier}`;
}

interface Place {
  /** The real path of the mount point, parts of which may be missing. */
  readonly target: string;
  /** The deepest directory on its way that there is; for a target that exists the one it is in. */
  readonly parent: string;
  readonly missing: readonly string[];
}

/** @returns the mount point of the file server that has it, a text */
function placeOf(path: string, points: readonly MountPoint[]): Place | string {
  const found = findPath(path, points);
  if (found?.server !== undefined) return found.server;
  if (found) return { target: found.path, parent: dirname(found.path), missing: [] };
  const place = placeOf(dirname(path), points);
  if (typeof place === "string") return place;
  const { target: above, parent, missing } = place;
  return {
    target: join(above, basename(path)),
    parent: missing.length === 0 ? above : parent,
    missing: [...missing, basename(path)],
  };
}

function findFault(target: string, places: readonly string[], others: readonly string[]): string | undefined {
  if (target === "/" || ["/proc", "/sys"].some((one) => isWithin(target, one)))
    return "cannot be mounted over";
  if (systemPlaces.test(target)) return "would hide programs or libraries of this machine";
  if (places.some((one) => isWithin(one, target) || isWithin(target, one)))
    return "would hide programs of edged.processes.programs";
  const other = others.find((one) => isWithin(one, target) || isWithin(target, one));
  return other && `and ${other} are one within the other, which is not supported for processes`;
}

/** In the view. */
function makeCommand(path: string, isDirectory: boolean, tools: Tools): string {
  if (isDirectory) return `${tools.mkdir} -p ${quoteWord(path)}`;
  return `${tools.mkdir} -p ${quoteWord(dirname(path))} && : >${quoteWord(path)}`;
}

/** On the host, as `makeHostFile`: one of the two names that are the same for all pods. */
function makeHostDirectory(path: string): void {
  if (!isThere(path)) mkdirSync(path, { mode: 0o755 });
}

function makeHostFile(path: string): void {
  if (!isThere(path)) writeFileSync(path, "", { flag: "wx", mode: 0o644 });
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** What pods have mounted below the data directory is not held here: it could not be released before this container ends. */
function releases({ root, dataDir, tools }: ViewInput, points: readonly MountPoint[]): string[] {
  return points
    .map(({ path }) => path)
    .filter((path) => path !== dataDir && isWithin(path, dataDir))
    .toReversed()
    .flatMap((path) => [join(root, path), path])
    .map((path) => `${tools.umount} -l ${quoteWord(path)} 2>/dev/null || :`);
}
