import { createHash, timingSafeEqual } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { ConfigError, describeError } from "#shared/errors";

/** Characters: 64 bits even if they are hexadecimal, too many to guess over a network. */
const least = 16;

/** The token in a file, which is read again when it has changed. */
export class TokenFile {
  readonly #path: string;
  readonly #setting: string;
  #stamp = "";
  #digest: Buffer;

  /** @throws ConfigError naming file and fix when there is no usable token in it */
  constructor(path: string, setting: string) {
    this.#path = path;
    this.#setting = setting;
    this.#digest = this.#read();
  }

  /** Whether the value of an Authorization header carries the token; never while the file cannot be read. */
  allows(authorization: string | null | undefined): boolean {
    const [, given] = /^bearer[ \t]+(\S+)[ \t]*$/i.exec(authorization ?? "") ?? [];
    if (given === undefined) return false;
    try {
      if (this.#stampNow() !== this.#stamp) this.#digest = this.#read();
    } catch {
      return false;
    }
    return timingSafeEqual(digest(given), this.#digest);
  }

  #read(): Buffer {
    let text: string;
    try {
      this.#stamp = this.#stampNow();
      text = readFileSync(this.#path, "utf8").trim();
    } catch (cause) {
      throw new ConfigError("token-file", `${this.#named()}: ${describeError(cause)}; ${this.#fix()}`, {
        cause,
      });
    }
    if (text.length < least || /[^\u0021-\u007e]/.test(text))
      throw new ConfigError(
        "token-file",
        `${this.#named()}: expected one word of at least ${least} characters; ${this.#fix()}`,
      );
    return digest(text);
  }

  #stampNow(): string {
    const { mtimeMs, size, ino } = statSync(this.#path);
    return `${mtimeMs} ${size} ${ino}`;
  }

  #named(): string {
    return `Cannot use ${this.#setting} "${this.#path}"`;
  }

  #fix(): string {
    return `make one with \`(umask 077; openssl rand -hex 32 > ${this.#path})\``;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
