import { existsSync, readdirSync, renameSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { syncFolder } from "./whole-file.ts";

const mark = ".damaged-";

/**
 * Renames a damaged database, with what SQLite keeps beside it, so that a new one can take its place and somebody can
 * still look into it. The log goes first: beside a new database it would be taken for that one's. @returns the new name
 */
export function setDatabaseAside(path: string, nowMs: number): string {
  const aside = `${path}${mark}${new Date(nowMs).toISOString().replaceAll(/[:.]/g, "-")}`;
  for (const end of ["-wal", "-shm", "-journal", ""])
    if (existsSync(`${path}${end}`)) renameSync(`${path}${end}`, `${aside}${end}`);
  syncFolder(dirname(path));
  return aside;
}

/** What was set aside of a file, and nobody has removed. */
export function asideOf(path: string): string[] {
  const folder = dirname(path);
  if (!existsSync(folder)) return [];
  const start = `${basename(path)}${mark}`;
  const names = readdirSync(folder).filter(
    (name) => name.startsWith(start) && !/-(?:wal|shm|journal)$/.test(name),
  );
  return names.map((name) => join(folder, name));
}
