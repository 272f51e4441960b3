import { readFileSync } from "node:fs";
import { asError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { writeWhole } from "#shared/files";
import type { Logger } from "#shared/log";
import type { Image } from "#edge/runtime";

/**
 * How long an image has been here, and how long no container has been made from it. Only time in which edgecore ran
 * counts, by a clock that is never set: neither a node without a clock of its own nor one that was switched off for
 * months loses its images at once.
 */
export interface ImageAge {
  readonly ageMs: number;
  readonly unusedMs: number;
}

/** Of an image that was here when edgecore started: as old as `image-minimum-gc-age` can ask for. */
const earlierMs = 31_536_000_000;

/** An unused image that only grows older is written this often: it is a few kilobytes on flash. */
const writeMs = 3_600_000;

/** Ages of the engine's images, in a file, so that they outlive restarts. */
export class ImageAges {
  readonly #path: string;
  readonly #log: Logger;
  #ages: Map<string, ImageAge>;
  #unwrittenMs = 0;
  #looked = false;

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
    this.#ages = this.#read();
  }

  of(id: string): ImageAge {
    return this.#ages.get(id) ?? { ageMs: 0, unusedMs: 0 };
  }

  /** A container is about to be made from it. */
  touch(id: string): void {
    const age = this.#ages.get(id);
    if (age) this.#ages.set(id, { ...age, unusedMs: 0 });
  }

  /** What the engine has now, and how much time went by since the last look. */
  look(images: readonly Image[], used: ReadonlySet<string>, passedMs: number): void {
    const before = this.#ages;
    this.#ages = new Map(
      images.map(({ id }) => {
        const known = before.get(id);
        const ageMs = known ? known.ageMs + passedMs : this.#looked ? 0 : earlierMs;
        return [id, { ageMs, unusedMs: known && !used.has(id) ? known.unusedMs + passedMs : 0 }];
      }),
    );
    this.#looked = true;
    this.#unwrittenMs += passedMs;
    if (this.#unwrittenMs >= writeMs || this.#hasChanged(before)) this.#write();
  }

  /** At the end of a run. */
  save(): void {
    if (this.#unwrittenMs > 0) this.#write();
  }

  /** Whether images came, went, or came into use. */
  #hasChanged(before: ReadonlyMap<string, ImageAge>): boolean {
    if (before.size !== this.#ages.size) return true;
    return [...this.#ages].some(([id, { unusedMs }]) => {
      const known = before.get(id);
      return !known || (known.unusedMs > 0 && unusedMs === 0);
    });
  }

  #write(): void {
    try {
      writeWhole(this.#path, JSON.stringify(Object.fromEntries(this.#ages)));
      this.#unwrittenMs = 0;
    } catch (error) {
      // On a full disk, which is what removing images is for.
      this.#log.warn("cannot write ages of images", { path: this.#path, reason: asError(error).message });
    }
  }

  #read(): Map<string, ImageAge> {
    try {
      const stored = recordOf(JSON.parse(readFileSync(this.#path, "utf8")));
      return new Map(
        Object.entries(stored).map(([id, value]) => {
          const { ageMs, unusedMs } = recordOf(value);
          return [id, { ageMs: msOf(ageMs), unusedMs: msOf(unusedMs) }];
        }),
      );
    } catch {
      // The first start, or a damaged file: all images are as new.
      return new Map();
    }
  }
}

function msOf(value: unknown): number {
  return typeof value === "number" && value >= 0 ? value : 0;
}
