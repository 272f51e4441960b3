import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError, quote } from "#shared/errors";
import { syncFolder, writeWhole } from "#shared/files";

/** New files wait here until they take the places of the old ones. */
export const stagedFolder = "restore.staged";
const journalName = "restore.journal";

/** What a restore is about to do: once this is on disk it is done to its end, by whoever comes next. */
interface Journal {
  /** Folder below the data directory where the old files go. */
  readonly aside: string;
  readonly old: readonly string[];
  readonly fresh: readonly string[];
}

/** Puts staged files in the place of old ones, all of them or none, whenever the process ends. */
export function swapFiles(dataDir: string, journal: Journal): void {
  writeWhole(join(dataDir, journalName), JSON.stringify(journal));
  finishSwap(dataDir);
}

/**
 * Does to its end what a restore had begun; removes what one left that had not. Called before anything is opened.
 * @returns whether there was something to finish
 */
export function finishSwap(dataDir: string): boolean {
  const journal = readJournal(join(dataDir, journalName));
  if (journal) {
    for (const name of journal.old) moveAside(dataDir, journal, name);
    for (const name of journal.fresh) move(join(dataDir, stagedFolder, name), join(dataDir, name));
    rmSync(join(dataDir, journalName));
    syncFolder(dataDir);
  }
  rmSync(join(dataDir, stagedFolder), { recursive: true, force: true });
  return journal !== undefined;
}

/** An old file is there until it is aside; one with a new one staged for its place is old in any case. */
function moveAside(dataDir: string, { aside, fresh }: Journal, name: string): void {
  const isTaken = fresh.includes(name) && !existsSync(join(dataDir, stagedFolder, name));
  const target = join(dataDir, aside, name);
  if (!isTaken && !existsSync(target)) move(join(dataDir, name), target);
}

function move(from: string, to: string): void {
  if (!existsSync(from)) return;
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 });
  renameSync(from, to);
  syncFolder(dirname(to));
  syncFolder(dirname(from));
}

function readJournal(path: string): Journal | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Journal;
  } catch (cause) {
    const text = `Cannot finish a restore: ${quote(path)} is damaged; remove it and restore again`;
    throw new ConfigError("bad-journal", text, { cause });
  }
}
