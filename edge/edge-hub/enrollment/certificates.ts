import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { EdgeConfig } from "#shared/config";
import { ConfigError, describeError, errorCodeOf } from "#shared/errors";
import { commitFile, stagedName, stageFile } from "#shared/files";
import { isKeyPair, readCertificate } from "#shared/pki";

/** PEM texts the link is made with. */
export interface LinkCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Given by the configuration: neither requested nor renewed by edgecore. */
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
export function readLinkCredentials(files: CertificateFiles): LinkCredentials | undefined {
  const ca = readText(files.ca);
  const cert = readText(files.cert);
  const key = readText(files.key);
  if (ca === undefined || cert === undefined || key === undefined) return undefined;
  if (files.fixed) return { ca, cert, key };
  const whole = isKeyPair(cert, key) ? { ca, cert, key } : finishReplacing(files, { ca, key });
  if (whole && isCertificate(whole.ca)) return whole;
  throw new ConfigError(
    "damaged-certificate",
    `Cannot use the node's certificate: "${findDamaged(files, { ca, cert, key })}" is damaged; give edgecore a new token (of \`cloudcore token\`), it gets new files then`,
  );
}

/**
 * Puts new files in the place of the old ones, which stay until all new ones are on disk. A crash in between leaves
 * the old certificate with its key, or what `readLinkCredentials` completes. The CA comes last: it decides whose the others are.
 */
export function writeLinkCredentials(files: CertificateFiles, { ca, cert, key }: LinkCredentials): void {
  stageFile(files.ca, ca);
  stageFile(files.cert, cert);
  stageFile(files.key, key);
  commitFile(files.key);
  commitFile(files.cert);
  commitFile(files.ca);
}

/**
 * The validity of a certificate, in milliseconds since 1970.
 * @throws ConfigError when the text is not a certificate
 */
export function validityOf(cert: string): { readonly startMs: number; readonly endMs: number } {
  try {
    const { notBeforeMs, notAfterMs } = readCertificate(cert);
    return { startMs: notBeforeMs, endMs: notAfterMs };
  } catch (cause) {
    throw new ConfigError("bad-certificate", "Cannot read the node's certificate: it is not one", { cause });
  }
}

function findDamaged(files: CertificateFiles, { ca, cert, key }: LinkCredentials): string {
  if (!isCertificate(ca)) return files.ca;
  if (!isCertificate(cert)) return files.cert;
  return isKey(key) ? `${files.key}" beside "${files.cert}` : files.key;
}

/** The key was replaced and its certificate not yet. */
function finishReplacing(
  files: CertificateFiles,
  { ca, key }: Pick<LinkCredentials, "ca" | "key">,
): LinkCredentials | undefined {
  const cert = readText(stagedName(files.cert));
  if (cert === undefined || !isKeyPair(cert, key)) return undefined;
  commitFile(files.cert);
  const newCa = readText(stagedName(files.ca));
  if (newCa !== undefined) commitFile(files.ca);
  return { ca: newCa ?? ca, cert, key };
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

/** @returns undefined when there is no such file. @throws ConfigError when it cannot be read */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (errorCodeOf(cause) === "ENOENT") return undefined;
    throw new ConfigError("certificate-file", `Cannot read "${path}": ${describeError(cause)}`, { cause });
  }
}
