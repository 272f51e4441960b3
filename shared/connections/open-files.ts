import { closeSync, openSync, readFileSync } from "node:fs";

/** Where the system has no limit to read. */
const usual = 1024;
const most = 1_048_576;

/** How many files and sockets this process may have open; Bun has raised the soft limit to the hard one. */
export function openFilesLimit(): number {
  try {
    const [, soft = ""] = /^Max open files\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return soft === "unlimited" ? most : Math.min(most, Number.parseInt(soft, 10) || usual);
  } catch {
    return usual;
  }
}

/** The lowest number that is free: at least so many files are open. */
export function leastOpenFiles(): number {
  try {
    const file = openSync("/dev/null", "r");
    closeSync(file);
    return file;
  } catch {
    return Infinity;
  }
}
