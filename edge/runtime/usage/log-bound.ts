import { rmSync } from "node:fs";
import type { Logger } from "#shared/log";

/** A file of the log of a container. */
export interface CountedLog {
  readonly path: string;
  readonly bytes: number;
  readonly changedAtMs: number;
  /** The one that its container writes to, or wrote to until it ended. */
  readonly isCurrent: boolean;
}

/** Of all rotated files those that were rotated longest ago, until the rest is at most `limitBytes`, or there are no more. */
export function planRemoval(files: readonly CountedLog[], limitBytes: number): readonly CountedLog[] {
  let bytes = sizeOf(files);
  const rotated = files.filter(({ isCurrent }) => !isCurrent);
  const oldestFirst = rotated.toSorted((a, b) => a.changedAtMs - b.changedAtMs);
  return oldestFirst.filter((file) => {
    const isTooMuch = bytes > limitBytes;
    if (isTooMuch) bytes -= file.bytes;
    return isTooMuch;
  });
}

/** Keeps the logs of all containers together below a size. */
export class LogBound {
  readonly #limitBytes: number | undefined;
  readonly #log: Logger;
  readonly #said = new Set<string>();

  /** @param limitBytes undefined: nothing is removed */
  constructor(limitBytes: number | undefined, log: Logger) {
    this.#limitBytes = limitBytes;
    this.#log = log;
  }

  /** @param files of all containers. @throws when a file cannot be removed */
  apply(files: readonly CountedLog[]): void {
    const limitBytes = this.#limitBytes;
    if (limitBytes === undefined) return;
    const removed = planRemoval(files, limitBytes);
    for (const { path } of removed) rmSync(path, { force: true });
    if (removed.length > 0) {
      const fields = { limitBytes, removedBytes: sizeOf(removed), field: "edged.container-log-max-total" };
      this.#sayOnce(
        "removing rotated logs of containers, which are larger than they may be together",
        fields,
      );
    }
    const bytes = sizeOf(files) - sizeOf(removed);
    if (bytes > limitBytes) {
      const fix = "set edged.container-log-max-size lower, or edged.container-log-max-total higher";
      const fields = { limitBytes, bytes, fix };
      this.#sayOnce("the current logs of containers are larger than all logs may be together", fields);
    }
  }

  /** It would be said with each look otherwise. */
  #sayOnce(text: string, fields: Readonly<Record<string, string | number>>): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.#log.warn(text, fields);
  }
}

function sizeOf(files: readonly CountedLog[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}
