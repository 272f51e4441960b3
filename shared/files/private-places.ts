import { chmodSync, closeSync, lstatSync, openSync, readdirSync, statSync, type Stats } from "node:fs";
import { join } from "node:path";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";

/** Where a program keeps what nobody else may read. */
export interface PrivatePlaces {
  /** The data directory. It is tightened only when it holds nothing but what cloudcore and edgecore put there. */
  readonly home: string;
  /** Folders whose every file is private. */
  readonly folders: readonly string[];
  /** Folders that are private, whatever is in them. */
  readonly folderAlone?: readonly string[];
  readonly files: readonly string[];
}

const ours =
  /^(?:(?:cloudcore|edgecore|telemetry)\..*|ca|certs|embedded|pods|kubeconfig.*|secrets\.key.*|ports\.json.*|(?:before-)?restore.*|\.check-.*|lost\+found)$/;

export interface Exposed {
  readonly path: string;
  readonly why: string;
  /** The mode it should have; undefined: it is not ours to change. */
  readonly wanted: number | undefined;
}

/** A database with what SQLite keeps beside it. */
export function databaseFiles(path: string): string[] {
  return ["", "-wal", "-shm", "-journal"].map((end) => `${path}${end}`);
}

/** Makes an empty file that only its owner may read, if there is none: SQLite gives its modes to what it makes beside it. */
export function createPrivateFile(path: string): void {
  closeSync(openSync(path, "a", 0o600));
}

/** Files and folders that others can read or own. */
export function findExposed(places: PrivatePlaces): Exposed[] {
  const inside = places.folders.flatMap((folder) => entriesOf(folder).map((name) => join(folder, name)));
  const paths = [...places.folders, ...(places.folderAlone ?? []), ...places.files, ...inside];
  return [judgeHome(places), ...paths.map((path) => judge(path))].filter((found) => found !== undefined);
}

/** Takes from others what they may not have; what cannot be taken is left to the operator. */
export function tightenExposed(places: PrivatePlaces, log: Logger): void {
  for (const { path, why, wanted } of findExposed(places)) {
    try {
      if (wanted === undefined) log.warn("private file is accessible to others", { path, why });
      else {
        chmodSync(path, wanted);
        log.warn("private file was accessible to others, restricted it", {
          path,
          why,
          mode: octal(wanted),
        });
      }
    } catch (error) {
      log.warn("private file is accessible to others", { path, why, error: describeError(error) });
    }
  }
}

function judgeHome({ home }: PrivatePlaces): Exposed | undefined {
  const found = judge(home);
  if (found?.wanted === undefined) return found;
  const strange = entriesOf(home).find((name) => !ours.test(name));
  if (strange === undefined) return found;
  return { ...found, why: `${found.why}, and contains other files (${strange})`, wanted: undefined };
}

function judge(path: string): Exposed | undefined {
  const link = lookAt(path, lstatSync);
  const found = lookAt(path, statSync);
  if (!link || !found) return undefined;
  const owner = process.getuid?.();
  if (owner !== undefined && found.uid !== owner)
    return { path, why: `owned by uid ${found.uid}, not by ${owner}`, wanted: undefined };
  const mode = found.mode & 0o7777;
  if ((mode & 0o077) === 0) return undefined;
  // What a link leads to may serve others as well.
  const isOurs = !link.isSymbolicLink() || found.isDirectory();
  const wanted = isOurs && (mode & 0o1000) === 0 ? mode & 0o700 : undefined;
  return { path, why: `mode ${octal(mode)}`, wanted };
}

/** What cannot be looked at is reported by others. */
function lookAt(path: string, look: typeof lstatSync): Stats | undefined {
  try {
    return look(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}
