import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errorCodeOf } from "#shared/errors";
import { writeWhole } from "#shared/files";
import { asRecord } from "#shared/json";
import type { Pod } from "#shared/kube";
import { findUnusable } from "#edge/edged/pods";

/** What the files of static pods said when they could last be used, kept over restarts of edgecore: one small file for each. */
export class KeptPods {
  readonly #dir: string;

  /** `dir`: a directory of its own, made with the first pod. */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** @returns undefined for a file that was never one, and where what was kept is damaged */
  find(file: string): Pod | undefined {
    try {
      const kept = asRecord(JSON.parse(readFileSync(this.#path(file), "utf8")));
      // Its parts are checked here.
      const pod = kept?.["pod"] as Pod | undefined;
      const isUsable = kept?.["file"] === file && pod !== undefined && findUnusable(pod) === undefined;
      return isUsable ? pod : undefined;
    } catch {
      return undefined;
    }
  }

  /** @throws when it cannot be written */
  keep(file: string, pod: Pod): void {
    if (this.find(file)?.metadata.uid === pod.metadata.uid) return;
    writeWhole(this.#path(file), JSON.stringify({ file, pod }));
  }

  /** Forgets the files that are no longer there. @throws when it cannot be removed */
  retain(files: readonly string[]): void {
    const wanted = new Set(files.map((file) => nameOf(file)));
    for (const name of this.#names()) if (!wanted.has(name)) rmSync(join(this.#dir, name), { force: true });
  }

  #names(): string[] {
    try {
      return readdirSync(this.#dir);
    } catch (error) {
      if (errorCodeOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  #path(file: string): string {
    return join(this.#dir, nameOf(file));
  }
}

/** A name of a file may have as many bytes as the file system allows. */
function nameOf(file: string): string {
  return `${createHash("sha256").update(file).digest("hex").slice(0, 32)}.json`;
}
