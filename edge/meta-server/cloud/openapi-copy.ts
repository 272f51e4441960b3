import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Clock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { writeWhole } from "#shared/files";
import { asRecord, tryJson } from "#shared/json";
import type { Logger } from "#shared/log";
import type { CloudApi } from "./cloud-api.ts";
import { LinkedRepeat } from "./linked-repeat.ts";

export interface OpenApiCopyOptions {
  readonly api: Pick<CloudApi, "text">;
  /** Where documents are kept, compressed. */
  readonly folder: string;
  /** Group versions of the documents, as in their paths: `api/v1`, `apis/devices.kubeedge.io/v1beta1`. */
  readonly wanted: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** After what is needed more: access and pods. */
const firstMs = 10_000;
/** A new CRD version is rare. */
const repeatMs = 3_600_000;
const retryMs = 300_000;
const indexFile = "index.json";

/**
 * Keeps OpenAPI documents of the API on disk, for `kubectl explain` on the node without a link. A document is requested
 * again when its hash in the index has changed.
 */
export class OpenApiCopy implements AsyncDisposable {
  readonly #options: OpenApiCopyOptions;
  #hashes: ReadonlyMap<string, string>;
  readonly #repeat: LinkedRepeat;

  constructor(options: OpenApiCopyOptions) {
    this.#options = options;
    this.#hashes = readIndex(options.folder, options.wanted);
    this.#repeat = new LinkedRepeat({ firstMs, run: () => this.#refresh(), clock: options.clock });
  }

  linkChanged(online: boolean): void {
    this.#repeat.linkChanged(online);
  }

  /** The hash of what is kept of a group version. */
  hashOf(groupVersion: string): string | undefined {
    return this.#hashes.get(groupVersion);
  }

  /** The JSON text of a document; undefined when none is kept or it cannot be read. */
  read(groupVersion: string): string | undefined {
    if (!this.#hashes.has(groupVersion)) return undefined;
    try {
      return gunzipSync(readFileSync(this.#fileOf(groupVersion))).toString();
    } catch (error) {
      this.#options.log.warn("cannot read a kept OpenAPI document", { groupVersion, error });
      this.#hashes = without(this.#hashes, groupVersion);
      return undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#repeat[Symbol.asyncDispose]();
  }

  async #refresh(): Promise<number> {
    const { api, wanted, log } = this.#options;
    try {
      const offered = readPaths(await api.text("/openapi/v3"));
      for (const groupVersion of wanted) {
        const url = offered.get(groupVersion);
        if (url === undefined || hashIn(url) === this.#hashes.get(groupVersion)) continue;
        this.#keep(groupVersion, hashIn(url), await api.text(url));
      }
      return repeatMs;
    } catch (error) {
      // A full disk, besides what can happen on the way to the API.
      log[error instanceof AppError ? "debug" : "warn"]("cannot keep OpenAPI documents of the API", {
        error,
      });
      return retryMs;
    }
  }

  #keep(groupVersion: string, hash: string, text: string): void {
    const { folder } = this.#options;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // Until the new document is whole, the index names none.
    this.#hashes = without(this.#hashes, groupVersion);
    this.#writeIndex();
    writeWhole(this.#fileOf(groupVersion), gzipSync(text));
    this.#hashes = new Map([...this.#hashes, [groupVersion, hash]]);
    this.#writeIndex();
  }

  #writeIndex(): void {
    writeWhole(join(this.#options.folder, indexFile), JSON.stringify(Object.fromEntries(this.#hashes)));
  }

  #fileOf(groupVersion: string): string {
    return join(this.#options.folder, `${groupVersion.replaceAll("/", "_")}.json.gz`);
  }
}

function without(hashes: ReadonlyMap<string, string>, groupVersion: string): ReadonlyMap<string, string> {
  return new Map([...hashes].filter(([name]) => name !== groupVersion));
}

function readIndex(folder: string, wanted: readonly string[]): ReadonlyMap<string, string> {
  const kept = asRecord(tryJson(readOrEmpty(join(folder, indexFile)))) ?? {};
  return new Map(
    wanted.flatMap((name) => {
      const hash = kept[name];
      return typeof hash === "string" ? [[name, hash] as const] : [];
    }),
  );
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Nothing was kept yet, or it is kept again.
    return "";
  }
}

/** URLs by group version of an index of OpenAPI documents. */
function readPaths(index: string): ReadonlyMap<string, string> {
  const paths = asRecord(asRecord(tryJson(index))?.["paths"]) ?? {};
  return new Map(
    Object.entries(paths).flatMap(([name, entry]) => {
      const url = asRecord(entry)?.["serverRelativeURL"];
      return typeof url === "string" && url.startsWith("/openapi/v3/") ? [[name, url] as const] : [];
    }),
  );
}

/** What identifies the contents; an index without hashes makes every document a new one. */
function hashIn(url: string): string {
  return new URL(url, "http://api.invalid").searchParams.get("hash") ?? "";
}
