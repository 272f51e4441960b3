import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ConfigError, quote } from "#shared/errors";

interface Holder {
  readonly pid: number;
  /** When that process started, in the kernel's ticks: tells it from a later one with the same pid. */
  readonly started: string;
}

/**
 * Makes this process the only one of its program on a directory. The lock of a process that is gone is taken over.
 * @throws ConfigError naming the pid that holds it
 */
export function takeLock(file: string, pid: number): Disposable {
  const mine = `${file}.${pid}`;
  const holder: Holder = { pid, started: startOf(pid) ?? "" };
  writeFileSync(mine, JSON.stringify(holder), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 5; attempt += 1) {
      if (link(mine, file)) return { [Symbol.dispose]: () => release(file, pid) };
      const other = readHolder(file);
      if (other && isAlive(other))
        throw new ConfigError("locked", `Cannot use ${quote(file)}: process ${other.pid} holds it`);
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(mine, { force: true });
  }
  throw new ConfigError("locked", `Cannot use ${quote(file)}: other processes keep taking it`);
}

/** The pid of the live process that holds a lock. */
export function lockHolder(file: string): number | undefined {
  const holder = readHolder(file);
  return holder && isAlive(holder) ? holder.pid : undefined;
}

function link(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") return false;
    throw error;
  }
}

function release(file: string, pid: number): void {
  if (readHolder(file)?.pid === pid) rmSync(file, { force: true });
}

function readHolder(file: string): Holder | undefined {
  try {
    const { pid, started } = JSON.parse(readFileSync(file, "utf8")) as Partial<Holder>;
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
