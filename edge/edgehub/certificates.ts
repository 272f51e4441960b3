import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, describeError } from "#shared/errors";
import { readCertificate } from "#shared/pki";

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

/** @returns undefined when any of the files is missing. @throws ConfigError when one cannot be read */
export function readCredentials(files: CertificateFiles): Credentials | undefined {
  const ca = readText(files.ca);
  const cert = readText(files.cert);
  const key = readText(files.key);
  return ca === undefined || cert === undefined || key === undefined ? undefined : { ca, cert, key };
}

/** Key first, certificate last: a certificate that is there has its key and its CA. */
export function writeCredentials(files: CertificateFiles, { ca, cert, key }: Credentials): void {
  writeDurably(files.ca, ca);
  writeDurably(files.key, key);
  writeDurably(files.cert, cert);
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

function writeDurably(path: string, text: string): void {
  const folder = dirname(path);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const partial = `${path}.new`;
  const file = openSync(partial, "w", 0o600);
  try {
    chmodSync(partial, 0o600);
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(partial, path);
  syncFolder(folder);
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
