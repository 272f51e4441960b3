import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError, quote } from "#shared/errors";
import { syncFolder, writeWhole } from "#shared/files";

/** Folder of the new files until they replace the old ones. */
export const stagedFolder = "restore.staged";
const journalName = "restore.journal";

/** What a restore is about to do: once this is on disk, the restore is completed, by the next process if need be. */
interface Journal {
  /** Folder below the data directory where the old files go. */
  readonly aside: string;
  readonly old: readonly string[];
  readonly fresh: readonly string[];
}

/** Replaces old files by staged ones, all of them or none, also when the process is killed in between. */
export function swapFiles(dataDir: string, journal: Journal): void {
  writeWhole(join(dataDir, journalName), JSON.stringify(journal));
  finishSwap(dataDir);
}

/**
 * Completes an interrupted restore, and removes what one left that had not begun to replace files. Called before any file
 * is opened.
 * @returns whether there was something to complete
 * @throws ConfigError when the journal is damaged
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

/** Moves an old file aside, unless that was done before: then its place is empty, or has its staged successor. */
function moveAside(dataDir: string, { aside, fresh }: Journal, name: string): void {
  const isTaken = fresh.includes(name) && !existsSync(join(dataDir, stagedFolder, name));
  const target = join(dataDir, aside, name);
  if (!isTaken && !existsSync(target)) move(join(dataDir, name), target);
}

function move(source: string, target: string): void {
  if (!existsSync(source)) return;
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
  renameSync(source, target);
  syncFolder(dirname(target));
  syncFolder(dirname(source));
}

function readJournal(path: string): Journal | undefined {
  if (!existsSync(path)) return undefined;
  try {
    // Written by swapFiles, whole or not at all.
    return JSON.parse(readFileSync(path, "utf8")) as Journal;
  } catch (cause) {
    const text = `Cannot finish a restore: ${quote(path)} is damaged; remove it and restore again`;
    throw new ConfigError("bad-journal", text, { cause });
  }
}
