import { readFileSync, statSync } from "node:fs";
import { asError } from "#shared/errors";
import { isRecord, tryJson } from "#shared/json";
import type { Logger } from "#shared/log";

/** A docker config is a few kilobytes; another file given by mistake is not read into memory. */
const mostBytes = 1 << 20;

/**
 * The credentials of the node, read again for each pull so that they can be replaced while edgecore runs. A file that
 * cannot be used is reported without its content, and pulls go on without it.
 */
export function readAuthFile(path: string, log: Logger): string[] {
  try {
    if (statSync(path).size > mostBytes) throw new RangeError("it is larger than 1 MiB");
    const text = readFileSync(path, "utf8");
    // The parser's message would quote the text, and with it a password.
    if (!isRecord(tryJson(text))) throw new SyntaxError("it is not a docker config");
    return [text];
  } catch (error) {
    log.warn("cannot use edged.registry-auth-file", { path, reason: asError(error).message });
    return [];
  }
}
