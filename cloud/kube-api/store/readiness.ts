import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { RevisionStore } from "./revision-store.ts";

/** With less than this a database cannot grow by its next pages. */
const leastFreeBytes = 1024 * 1024;
const freshMs = 1000;

export interface ReadinessParts {
  readonly store: RevisionStore;
  /** of the database, or ":memory:" */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Whether changes can be stored now; checked once a second at most. */
export class Readiness {
  readonly #parts: ReadinessParts;
  #known: { readonly problem: Promise<string | undefined>; readonly atMs: number } | undefined;
  #isReported = false;

  constructor(parts: ReadinessParts) {
    this.#parts = parts;
  }

  /** @returns why changes cannot be stored; undefined when they can */
  problem(): Promise<string | undefined> {
    const nowMs = this.#parts.clock.monotonicMs();
    if (!this.#known || nowMs - this.#known.atMs >= freshMs)
      this.#known = { problem: this.#look(), atMs: nowMs };
    return this.#known.problem;
  }

  async #look(): Promise<string | undefined> {
    const { store, path, log } = this.#parts;
    const problem = this.#disk() ?? (await store.writeProblem());
    if (problem !== undefined && !this.#isReported)
      log.error("changes cannot be stored", { database: path, problem });
    if (problem === undefined && this.#isReported)
      log.info("changes can be stored again", { database: path });
    this.#isReported = problem !== undefined;
    return problem;
  }

  #disk(): string | undefined {
    const { path } = this.#parts;
    if (path === ":memory:") return undefined;
    const folder = dirname(path);
    try {
      const { bavail, bfree, bsize } = statfsSync(folder);
      // Part of the space is kept for root.
      const free = (process.getuid?.() === 0 ? bfree : bavail) * bsize;
      return free < leastFreeBytes ? `the disk of ${folder} is full: ${free} bytes are free` : undefined;
    } catch (error) {
      return `the free space of ${folder} is unknown: ${describeError(error)}`;
    }
  }
}
