import {
  existsSync,
  linkSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ConfigError, errorCodeOf, quote } from "#shared/errors";
import { takeKernelLock } from "./kernel-lock.ts";

interface Holder {
  readonly pid: number;
  /** When that process started, in the kernel's ticks: distinguishes it from a later one with the same pid. */
  readonly started: string;
}

/** Who only asks whether it is held has it for a moment. */
const askedMs = 500;

/**
 * Makes this process the only one of its program on a directory. The lock of a process that is gone is taken over.
 * @throws ConfigError naming the pid that holds it
 */
export function takeLock(file: string, pid: number): Disposable {
  using stack = new DisposableStack();
  const kernel = takeKernelLock(`${file}.db`, askedMs);
  if (!kernel) throw refusal(file, readHolder(file));
  stack.use(kernel);
  stack.use(notePid(file, pid));
  return stack.move();
}

function refusal(file: string, holder: Holder | undefined): ConfigError {
  const isHere = holder !== undefined && isAlive(holder);
  const who = isHere ? `process ${holder.pid} holds it` : "a process of another container or host holds it";
  return new ConfigError("locked", `Cannot use ${quote(file)}: ${who}`);
}

/** Shows others which process it is. One of an earlier version has no other lock than this. */
function notePid(file: string, pid: number): Disposable {
  const mine = `${file}.${pid}`;
  const holder: Holder = { pid, started: startOf(pid) ?? "" };
  const put = prepare(mine, JSON.stringify(holder));
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      if (put(file)) return { [Symbol.dispose]: () => release(file, pid) };
      const other = readHolder(file);
      if (other && isAlive(other)) throw refusal(file, other);
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
  throw new ConfigError("locked", `Cannot use ${quote(file)}: other processes keep taking it`);
}

/** The pid of the live process that holds a lock, as it is in its own container. */
export function lockHolder(file: string): number | undefined {
  const holder = readHolder(file);
  return holder && (isAlive(holder) || isHeld(file)) ? holder.pid : undefined;
}

/** Asks without taking it for longer than that; what cannot be asked is free. */
function isHeld(file: string): boolean {
  if (!existsSync(`${file}.db`)) return false;
  try {
    using free = takeKernelLock(`${file}.db`, 0);
    return free === undefined;
  } catch {
    return false;
  }
}

/**
 * How the holder gets to a name nobody has: as a file. On a full disk as the target of a link that leads nowhere: a short one
 * is kept where the name is, and takes no block.
 */
function prepare(mine: string, holder: string): (file: string) => boolean {
  try {
    writeFileSync(mine, holder, { mode: 0o600 });
    return (file) => unlessTaken(() => linkSync(mine, file));
  } catch (error) {
    if (!noRoom.has(errorCodeOf(error) ?? "")) throw error;
    return (file) => unlessTaken(() => symlinkSync(holder, file));
  }
}

const noRoom: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT"]);

function unlessTaken(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (error) {
    if (errorCodeOf(error) === "EEXIST") return false;
    throw error;
  }
}

function release(file: string, pid: number): void {
  if (readHolder(file)?.pid === pid) rmSync(file, { force: true });
}

function readHolder(file: string): Holder | undefined {
  try {
    const text = lstatSync(file).isSymbolicLink() ? readlinkSync(file) : readFileSync(file, "utf8");
    const { pid, started } = JSON.parse(text) as Partial<Holder>;
    return typeof pid === "number" && typeof started === "string" ? { pid, started } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, started }: Holder): boolean {
  return startOf(pid) === started;
}

/** Field 22 of /proc/<pid>/stat, counted behind the name, which may hold anything. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
