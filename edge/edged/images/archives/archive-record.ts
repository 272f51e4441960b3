import { readFileSync } from "node:fs";
import { isRecord, recordOf } from "#shared/json";
import { writeWhole } from "#shared/files";

/** A file as it was when it was loaded: another size or time is another archive. */
export interface FileStamp {
  readonly size: number;
  readonly mtimeMs: number;
}

export interface LoadedImage {
  readonly id: string;
  readonly name: string;
}

export interface LoadedArchive extends FileStamp {
  readonly images: readonly LoadedImage[];
  /** Why it could not be loaded; undefined when it was. */
  readonly fault?: string | undefined;
}

export function isSameFile(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs;
}

/** What was loaded from which archive, by file name; kept in a file, so that no archive is loaded twice. */
export class ArchiveRecord {
  readonly #path: string;
  readonly #archives: Map<string, LoadedArchive>;

  constructor(path: string) {
    this.#path = path;
    this.#archives = readArchives(path);
  }

  get(name: string): LoadedArchive | undefined {
    return this.#archives.get(name);
  }

  /** @throws when it cannot be written; it counts until the next start all the same */
  set(name: string, archive: LoadedArchive): void {
    this.#archives.set(name, archive);
    this.#write();
  }

  /** Forgets the archives that are gone. */
  keep(names: ReadonlySet<string>): void {
    const gone = [...this.#archives.keys()].filter((name) => !names.has(name));
    for (const name of gone) this.#archives.delete(name);
    if (gone.length > 0) this.#write();
  }

  /** Images that a present archive holds. */
  get images(): LoadedImage[] {
    return [...this.#archives.values()].flatMap(({ images }) => images);
  }

  /** The archive that holds an image of that name. */
  find(name: string): string | undefined {
    return [...this.#archives].find(([, { images }]) => images.some((one) => one.name === name))?.[0];
  }

  #write(): void {
    writeWhole(this.#path, JSON.stringify(Object.fromEntries(this.#archives)));
  }
}

function readArchives(path: string): Map<string, LoadedArchive> {
  try {
    const stored = recordOf(JSON.parse(readFileSync(path, "utf8")));
    return new Map(
      Object.entries(stored).filter((entry): entry is [string, LoadedArchive] => isArchive(entry[1])),
    );
  } catch {
    // The first start, or a damaged file: archives are loaded again, which changes nothing.
    return new Map();
  }
}

function isArchive(value: unknown): boolean {
  const { size, mtimeMs, images } = recordOf(value);
  const isStamped = typeof size === "number" && typeof mtimeMs === "number";
  return isStamped && Array.isArray(images) && images.every(isRecord);
}
