import { ConfigError, quote } from "#shared/errors";
import { addKey, readKeyRing, type KeyRing } from "./key-ring.ts";

/** Resources whose objects are encrypted on disk. */
const sealedResources: ReadonlySet<string> = new Set(["/secrets"]);
/** Settings that are encrypted. */
const sealedSettings: ReadonlySet<string> = new Set(["service-account-key"]);

export function isSealedResource(resource: string): boolean {
  return sealedResources.has(resource);
}

export interface RowPlace {
  readonly id: number;
  readonly resource: string;
  readonly key: string;
}

/** Encrypts Secrets and secret settings. Without keys (databases in memory) it returns everything unchanged. */
export class Sealing {
  readonly #ring: KeyRing | undefined;

  constructor(ring: KeyRing | undefined) {
    this.#ring = ring;
  }

  /** the key that encrypts now */
  get current(): string | undefined {
    return this.#ring?.current;
  }

  seal(place: RowPlace, text: string): string {
    if (!this.#ring || !isSealedResource(place.resource)) return text;
    return this.#ring.seal(text, rowPlace(place));
  }

  /** @throws when it was changed or moved here from another row */
  open(place: RowPlace, stored: string): string {
    if (!this.#ring || !isSealedResource(place.resource)) return stored;
    return this.#ring.open(stored, rowPlace(place));
  }

  sealSetting(name: string, value: string): string {
    return this.#ring && sealedSettings.has(name) ? this.#ring.seal(value, settingPlace(name)) : value;
  }

  openSetting(name: string, stored: string): string {
    return this.#ring && sealedSettings.has(name) ? this.#ring.open(stored, settingPlace(name)) : stored;
  }
}

/** Includes the revision, so that a row opens neither as another object nor as another state of the same one. */
function rowPlace({ id, resource, key }: RowPlace): string {
  return `row\n${resource}\n${key}\n${id}`;
}

function settingPlace(name: string): string {
  return `setting\n${name}`;
}

/**
 * The keys of a database; a key is created when nothing is encrypted yet.
 * @throws ConfigError when a key that is in use is not in the file: nothing is created or changed then
 */
export function openKeyRing(keyFile: string, databasePath: string, used: ReadonlySet<string>): KeyRing {
  const ring = readKeyRing(keyFile);
  const lost = [...used].filter((id) => !ring?.has(id));
  if (lost.length > 0) {
    const what = `Cannot use database ${quote(databasePath)}: its Secrets are encrypted with key ${lost.join(", ")}`;
    const why = ring
      ? `which key file ${quote(keyFile)} does not contain`
      : `and key file ${quote(keyFile)} is missing or empty`;
    const remedy = "restore that file from a backup; nothing was changed";
    throw new ConfigError("lost-key", `${what}, ${why}; ${remedy}`);
  }
  if (ring) return ring;
  addKey(keyFile);
  const made = readKeyRing(keyFile);
  if (!made)
    throw new ConfigError(
      "bad-key-file",
      `Cannot use key file ${quote(keyFile)}: it is empty after it was written`,
    );
  return made;
}
