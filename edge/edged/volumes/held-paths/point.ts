import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Makes a new place to mount at, a directory or a file as what is mounted there. */
export function makePoint(pinsDir: string, kind: "directory" | "file"): string {
  const path = newPoint(pinsDir);
  if (kind === "directory") mkdirSync(path, { mode: 0o700 });
  else writeFileSync(path, "", { mode: 0o600, flag: "wx" });
  return path;
}

/** A name nobody has. */
export function newPoint(pinsDir: string): string {
  return join(pinsDir, randomUUID());
}
