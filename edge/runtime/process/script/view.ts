import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import type { Mount } from "#edge/runtime";
import {
  findBarrier,
  isWithin,
  placesOf,
  realPathOrNone,
  unsteadyParent,
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

/** Where mount points may be made on the host itself: they are in memory, and gone with the next boot. */
const volatile = ["/run", "/dev"];

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
  const targets: string[] = [];
  for (const one of mounts) {
    const planned = planMount(one, input, targets);
    if (typeof planned === "string") return planned;
    const { source, target, make } = planned;
    targets.push(target);
    if (make) lines.push(make);
    lines.push(`${mount} --rbind ${quoteWord(source)} ${at(target)}`);
    if (one.readOnly) lines.push(`${mount} -o remount,bind,ro,nosuid ${at(target)}`);
  }
  return [...lines, ...releases(input)];
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

function planMount(mount: Mount, input: ViewInput, others: readonly string[]): PlannedMount | string {
  const { root, tools, allowed, programs } = input;
  const where = `mountPath ${mount.target}`;
  if (mount.propagation === "rslave" || mount.propagation === "rshared")
    return `mountPropagation of ${where} is not supported for processes`;
  const [source] = realPathOrNone(mount.source);
  if (source === undefined) return `bind source path does not exist: ${mount.source}`;
  const place = placeOf(normalize(mount.target).replace(/(.)\/+$/, "$1"));
  const { target, parent, missing } = place;
  const fault = findFault(target, programs, others);
  if (fault !== undefined) return `${where} ${fault}`;
  const loose = unsteadyParent(join(parent, "x"), allowed);
  if (loose !== undefined) return `${where}: others than root can replace what is in ${loose}`;
  const barred = findHostFault(mount.hostPath, source, input);
  if (barred !== undefined) return barred;
  const isDirectory = statSync(source).isDirectory();
  if (missing.length === 0)
    return statSync(target).isDirectory() === isDirectory
      ? { source, target }
      : `${where} is ${isDirectory ? "not a directory" : "a directory"} on this node`;
  if (parent === "/") return { source, target, make: makeCommand(join(root, target), isDirectory, tools) };
  if (!volatile.flatMap(realPathOrNone).some((one) => isWithin(parent, one)))
    return `${where} does not exist on this node: create it, or choose a new directory below /`;
  makePoint(target, isDirectory);
  return { source, target };
}

/** A volume of the host gives a program nothing that its user could not reach without it. */
function findHostFault(
  hostPath: string | undefined,
  source: string,
  { allowed, user }: ViewInput,
): string | undefined {
  if (hostPath === undefined) return undefined;
  const loose = unsteadyParent(source, allowed);
  if (loose !== undefined) return `hostPath ${hostPath}: others than root can replace what is in ${loose}`;
  const barrier = findBarrier(hostPath, user);
  return barrier && `hostPath ${hostPath}: user ${user.uid} may not enter ${barrier}`;
}

interface Place {
  /** The real path of the mount point, parts of which may be missing. */
  readonly target: string;
  /** The deepest directory on its way that there is; for a target that exists the one it is in. */
  readonly parent: string;
  readonly missing: readonly string[];
}

function placeOf(path: string): Place {
  const [real] = realPathOrNone(path);
  if (real !== undefined) return { target: real, parent: dirname(real), missing: [] };
  const { target: above, parent, missing } = placeOf(dirname(path));
  return {
    target: join(above, basename(path)),
    parent: missing.length === 0 ? above : parent,
    missing: [...missing, basename(path)],
  };
}

function findFault(
  target: string,
  programs: readonly string[],
  others: readonly string[],
): string | undefined {
  if (target === "/" || ["/proc", "/sys"].some((one) => isWithin(target, one)))
    return "cannot be mounted over";
  if (placesOf(programs).some((one) => isWithin(one, target) || isWithin(target, one)))
    return "would hide programs of edged.processes.programs";
  const other = others.find((one) => isWithin(one, target) || isWithin(target, one));
  return other && `and ${other} are one within the other, which is not supported for processes`;
}

/** In the view. */
function makeCommand(path: string, isDirectory: boolean, tools: Tools): string {
  if (isDirectory) return `${tools.mkdir} -p ${quoteWord(path)}`;
  return `${tools.mkdir} -p ${quoteWord(dirname(path))} && : >${quoteWord(path)}`;
}

/** On the host. */
function makePoint(path: string, isDirectory: boolean): void {
  mkdirSync(isDirectory ? path : dirname(path), { recursive: true, mode: 0o755 });
  if (!isDirectory && !lstatSync(path, { throwIfNoEntry: false }))
    writeFileSync(path, "", { flag: "wx", mode: 0o644 });
}

/** What pods have mounted below the data directory is not held here: it could not be released before this container ends. */
function releases({ root, dataDir, tools }: ViewInput): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => decode(line.split(" ")[4] ?? ""))
    .filter((path) => path !== dataDir && isWithin(path, dataDir))
    .toReversed()
    .flatMap((path) => [join(root, path), path])
    .map((path) => `${tools.umount} -l ${quoteWord(path)} 2>/dev/null || :`);
}

/** proc(5): blanks and the like are in octal. */
function decode(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
