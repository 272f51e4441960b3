import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeWhole } from "#shared/files";
import { asRecord } from "#shared/json";

/** The key of a request whose answer may have been lost; a new key is kept on disk before it is used. */
export interface RequestKey {
  readonly key: string | undefined;
  readonly keep: (key: string) => void;
}

/** What is kept on disk while a node joins, so that a lost answer or a crash costs no second use of the token. */
export class Joining {
  readonly #pending: string;
  readonly #joined: string;

  constructor(dataDir: string) {
    this.#pending = join(dataDir, "certs/joining.json");
    this.#joined = join(dataDir, "certs/joined-with");
  }

  /** The key of the request that was made with this token for this node, if there was one. */
  keyFor(token: string, node: string): RequestKey {
    const hash = hashOf(token);
    const before = readJson(this.#pending);
    const isSame = before?.["token"] === hash && before["node"] === node;
    const key = isSame && typeof before["key"] === "string" ? before["key"] : undefined;
    return {
      key,
      keep: (next) => {
        if (next !== key) writeWhole(this.#pending, JSON.stringify({ token: hash, node, key: next }));
      },
    };
  }

  /** The certificate is on disk: the token is spent. */
  finish(token: string): void {
    writeWhole(this.#joined, JSON.stringify({ token: hashOf(token) }));
    rmSync(this.#pending, { force: true });
  }

  /** Whether the present certificate was issued for this token. */
  isSpent(token: string): boolean {
    return readJson(this.#joined)?.["token"] === hashOf(token);
  }
}

function hashOf(token: string): string {
  return createHash("sha256").update(token.trim()).digest("hex");
}

/** @returns undefined when there is no such file or nothing that can be read in it */
function readJson(path: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asRecord(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}
