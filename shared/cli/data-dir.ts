import { accessSync, constants, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, describeError, errorCodeOf, quote } from "#shared/errors";
import { writeWhole } from "#shared/files";
import { takeLock } from "./process-lock.ts";

/** The directory a process owns while it runs. */
export interface DataDir extends Disposable {
  readonly path: string;
  /** Notes in `ports.json` which port a listener got. */
  reportPort(name: string, port: number): void;
}

/**
 * Makes the directory if needed and takes it for this process.
 * @throws ConfigError when it cannot be written or another process of the program holds it
 */
export function openDataDir(path: string, program: string, pid: number): DataDir {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.W_OK | constants.X_OK);
    const lock = takeLock(lockFile(path, program), pid);
    return own(path, lock);
  } catch (cause) {
    throw refusal(path, cause);
  }
}

function refusal(path: string, cause: unknown): ConfigError {
  if (cause instanceof ConfigError) return cause;
  const { why, remedy } = explainFolder(cause);
  return new ConfigError("data-dir", `Cannot use data directory ${quote(path)}: ${why}; ${remedy}`, {
    cause,
  });
}

const aFile = ["it, or a part of its path, is a file", "remove that"] as const;
const full = ["no space is left there", "free some"] as const;
const denied = ["permission denied", "run as root, or give it to this user"] as const;
const folderFaults: Readonly<Record<string, readonly [why: string, remedy: string]>> = {
  EROFS: ["its file system is mounted read-only", "mount it writable"],
  EEXIST: aFile,
  ENOTDIR: aFile,
  ENOSPC: full,
  EDQUOT: full,
  EACCES: denied,
  EPERM: denied,
};

/** What is wrong with a data directory that an operation failed on, and what to do. */
export function explainFolder(error: unknown): { readonly why: string; readonly remedy: string } {
  const code = errorCodeOf(error);
  const [why, remedy] = folderFaults[code ?? ""] ?? [code ?? describeError(error), "check its disk"];
  return { why, remedy: `${remedy}, or set data-dir elsewhere` };
}

export function lockFile(dataDir: string, program: string): string {
  return join(dataDir, `${program}.lock`);
}

function own(path: string, lock: Disposable): DataDir {
  const file = join(path, "ports.json");
  const mine = new Map<string, number>();
  const write = (ports: Readonly<Record<string, number>>): void => {
    try {
      writeWhole(file, `${JSON.stringify(ports, undefined, 2)}\n`);
    } catch (cause) {
      // A note for others, and each port is in the log: a full disk must not keep a node from starting.
      if (explainFolder(cause).why !== full[0]) throw refusal(path, cause);
    }
  };
  const others = (): Record<string, number> =>
    Object.fromEntries(Object.entries(readPorts(path)).filter(([name]) => !mine.has(name)));
  return {
    path,
    reportPort: (name, port) => {
      mine.set(name, port);
      write({ ...others(), ...Object.fromEntries(mine) });
    },
    [Symbol.dispose]: () => {
      const left = others();
      if (Object.keys(left).length > 0) write(left);
      else rmSync(file, { force: true });
      lock[Symbol.dispose]();
    },
  };
}

/** The content of `ports.json` of a directory; empty when there is none. */
export function readPorts(dataDir: string): Record<string, number> {
  try {
    return JSON.parse(readFileSync(join(dataDir, "ports.json"), "utf8")) as Record<string, number>;
  } catch {
    return {};
  }
}
