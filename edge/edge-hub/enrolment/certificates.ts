import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import { commitFile, stagedName, stageFile, writeWhole } from "#shared/files";
import { readCertificate } from "#shared/pki";
import { asRecord } from "#shared/json";

/** PEM texts the link is made with. */
export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Given by the configuration: neither got nor renewed by us. */
  readonly fixed: boolean;
}

/** The key of a request that may have been answered without the answer arriving; a new one is kept before it is used. */
export interface KeyOfRequest {
  readonly key: string | undefined;
  readonly keep: (key: string) => void;
}

export function certificateFiles(config: Pick<EdgeConfig, "dataDir" | "edgeHub">): CertificateFiles {
  const { caFile, certFile, keyFile } = config.edgeHub;
  const folder = join(config.dataDir, "certs");
  return {
    ca: caFile ?? join(folder, "rootCA.crt"),
    cert: certFile ?? join(folder, "edge.crt"),
    key: keyFile ?? join(folder, "edge.key"),
    fixed: certFile !== undefined && keyFile !== undefined,
  };
}

/** The first of the configured files that is missing, with its field. */
export function findMissing({ ca, cert, key }: CertificateFiles): string | undefined {
  const fields = [
    ["certfile", cert],
    ["keyfile", key],
    ["cafile", ca],
  ] as const;
  const missing = fields.find(([, path]) => !existsSync(path));
  return missing && `edgehub.websocket.${missing[0]}: "${missing[1]}" does not exist`;
}

/** @returns undefined when any of the files is missing. @throws ConfigError when one cannot be read or is damaged */
export function readCredentials(files: CertificateFiles): Credentials | undefined {
  const ca = readText(files.ca);
  const cert = readText(files.cert);
  const key = readText(files.key);
  if (ca === undefined || cert === undefined || key === undefined) return undefined;
  if (files.fixed) return { ca, cert, key };
  const whole = isPair(cert, key) ? { ca, cert, key } : finishReplacing(files, { ca, key });
  if (whole && isCertificate(whole.ca)) return whole;
  throw new ConfigError(
    "damaged-certificate",
    `Cannot use the node's certificate: "${damagedOf(files, { ca, cert, key })}" is damaged; give edgecore a new token (of \`cloudcore token\`), it gets new files then`,
  );
}

function damagedOf(files: CertificateFiles, { ca, cert, key }: Credentials): string {
  if (!isCertificate(ca)) return files.ca;
  if (!isCertificate(cert)) return files.cert;
  return isKey(key) ? `${files.key}" beside "${files.cert}` : files.key;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

function isKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).type === "private";
  } catch {
    return false;
  }
}

/**
 * Puts new files in the place of the old ones, which stay until all new ones are on disk. A crash in between leaves
 * the old certificate with its key, or what `readCredentials` completes. The CA comes last: it says whose the others are.
 */
export function writeCredentials(files: CertificateFiles, { ca, cert, key }: Credentials): void {
  stageFile(files.ca, ca);
  stageFile(files.cert, cert);
  stageFile(files.key, key);
  commitFile(files.key);
  commitFile(files.cert);
  commitFile(files.ca);
}

/** The key was replaced and its certificate not yet. */
function finishReplacing(
  files: CertificateFiles,
  { ca, key }: Pick<Credentials, "ca" | "key">,
): Credentials | undefined {
  const cert = readText(stagedName(files.cert));
  if (cert === undefined || !isPair(cert, key)) return undefined;
  commitFile(files.cert);
  const newCa = readText(stagedName(files.ca));
  if (newCa !== undefined) commitFile(files.ca);
  return { ca: newCa ?? ca, cert, key };
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/** When a certificate ends and, for a random share of its life, should be renewed. */
export function lifeOf(cert: string): { readonly startMs: number; readonly endMs: number } {
  try {
    const { notBeforeMs, notAfterMs } = readCertificate(cert);
    return { startMs: notBeforeMs, endMs: notAfterMs };
  } catch (cause) {
    throw new ConfigError("bad-certificate", "Cannot read the node's certificate: it is not one", { cause });
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new ConfigError("certificate-file", `Cannot read "${path}": ${describeError(cause)}`, { cause });
  }
}

/** What is kept while a node joins, so that a lost answer or a crash costs no second use of the token. */
export class Joining {
  readonly #pending: string;
  readonly #joined: string;

  constructor(dataDir: string) {
    this.#pending = join(dataDir, "certs/joining.json");
    this.#joined = join(dataDir, "certs/joined-with");
  }

  /** The key of the request that was made with this token for this node, if there was one. */
  keyFor(token: string, node: string): KeyOfRequest {
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

  /** Whether the certificate there is was got with it. */
  isSpent(token: string): boolean {
    return readJson(this.#joined)?.["token"] === hashOf(token);
  }
}

function hashOf(token: string): string {
  return createHash("sha256").update(token.trim()).digest("hex");
}

function readJson(path: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return asRecord(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined;
  }
}
