import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { ConfigError, describeError, quote } from "#shared/errors";
import { writeWhole } from "#shared/files";

interface Key {
  readonly id: string;
  readonly bytes: Buffer;
}

const keyBytes = 32;
const ivBytes = 12;
const tagBytes = 16;
const mark = "sealed:v1:";
const idLength = 12;
/** Characters of a sealed text up to the id of its key. */
export const headLength = mark.length + idLength;
const header = `# Keys of the Secrets in cloudcore.db: the first one encrypts, all of them decrypt. Keep a copy apart from the database.
`;

/** The keys of a key file. A sealed text is bound to its place in the database and does not open in another one. */
export class KeyRing {
  readonly #keys: readonly [Key, ...Key[]];

  constructor(keys: readonly [Key, ...Key[]]) {
    this.#keys = keys;
  }

  /** the key that encrypts */
  get current(): string {
    return this.#keys[0].id;
  }

  has(id: string): boolean {
    return this.#keys.some((key) => key.id === id);
  }

  /** AES-256-GCM, authenticated with `place`, where the text is stored. */
  seal(text: string, place: string): string {
    const iv = randomBytes(ivBytes);
    const cipher = createCipheriv("aes-256-gcm", this.#keys[0].bytes, iv).setAAD(Buffer.from(place));
    const sealed = Buffer.concat([iv, cipher.update(text, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `${mark}${this.current}:${sealed.toString("base64")}`;
  }

  /** Returns a text that is not sealed as it is. @throws Error when it was changed, or sealed for another place */
  open(sealed: string, place: string): string {
    const id = keyIdOf(sealed);
    if (id === undefined) return sealed;
    const key = this.#keys.find((one) => one.id === id);
    if (!key) throw new Error(`it is encrypted with key ${id}, which the key file does not contain`);
    const bytes = Buffer.from(sealed.slice(headLength + 1), "base64");
    const decipher = createDecipheriv("aes-256-gcm", key.bytes, bytes.subarray(0, ivBytes));
    decipher.setAAD(Buffer.from(place)).setAuthTag(bytes.subarray(bytes.length - tagBytes));
    const end = bytes.length - tagBytes;
    return decipher.update(bytes.subarray(ivBytes, end), undefined, "utf8") + decipher.final("utf8");
  }
}

/** The key a sealed text takes. @returns undefined when the text is not sealed */
export function keyIdOf(text: string): string | undefined {
  return text.startsWith(mark) ? text.slice(mark.length, headLength) : undefined;
}

/** @returns undefined when there is no such file, or an empty one. @throws ConfigError when it cannot be used */
export function readKeyRing(path: string): KeyRing | undefined {
  const keys = readKeys(path);
  const [first, ...rest] = keys;
  return first && new KeyRing([first, ...rest]);
}

/** Prepends a new key to the file. @returns its id */
export function addKey(path: string): string {
  const fresh = newKey();
  writeKeys(path, [fresh, ...readKeys(path)]);
  return fresh.id;
}

/** Removes all keys but the first. @returns their ids */
export function pruneKeys(path: string): string[] {
  const [first, ...rest] = readKeys(path);
  if (first && rest.length > 0) writeKeys(path, [first]);
  return rest.map(({ id }) => id);
}

function readKeys(path: string): Key[] {
  if (!existsSync(path)) return [];
  try {
    const lines = readFileSync(path, "utf8").split("\n");
    return lines.flatMap((line, index) => (/^\s*(#|$)/.test(line) ? [] : [parseKey(line, index + 1)]));
  } catch (cause) {
    const remedy = "restore it from a backup; nothing was changed";
    throw new ConfigError(
      "bad-key-file",
      `Cannot use key file ${quote(path)}: ${describeError(cause)}; ${remedy}`,
      {
        cause,
      },
    );
  }
}

/** The id is a digest of the key, so that a damaged key is detected. */
function parseKey(line: string, number: number): Key {
  const [id = "", text = ""] = line.trim().split(/\s+/);
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== keyBytes || idOf(bytes) !== id) throw new Error(`line ${number} is damaged`);
  return { id, bytes };
}

function newKey(): Key {
  const bytes = randomBytes(keyBytes);
  return { id: idOf(bytes), bytes };
}

function idOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, idLength);
}

function writeKeys(path: string, keys: readonly Key[]): void {
  writeWhole(path, header + keys.map(({ id, bytes }) => `${id} ${bytes.toString("base64")}\n`).join(""));
}
