import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { asError, ConfigError, quote } from "#shared/errors";
import { writeWhole } from "#shared/files";
import { createAuthority, isKeyPair, loadAuthority, type Authority } from "#shared/pki";

/** As KubeEdge: when the CA expires, every node has to join again. */
const caDays = 36_500;

export interface CaFiles {
  readonly certPath: string;
  readonly keyPath: string;
}

interface NewCa {
  readonly nowMs: number;
  readonly commonName?: string;
}

/** Another name than that of the CA of nodes: clients send no certificate of the other. */
export const clientCaName = "KubeEdge API clients";

/** Where cloudcore keeps a CA of its own, below its data directory, and below `embedded` that of the API. */
export function caFilesIn(dataDir: string): CaFiles {
  return { certPath: join(dataDir, "ca/rootCA.crt"), keyPath: join(dataDir, "ca/rootCA.key") };
}

/**
 * The CA kept in a data directory, made at the first start. Of a cloudcore that has run before (`established`) a CA that
 * is lost or damaged is not replaced in silence: no node would find its way back.
 * @throws ConfigError naming the file and the way out
 */
export async function ensureOwnAuthority(
  files: CaFiles,
  options: NewCa & { readonly established: boolean },
): Promise<Authority> {
  const fault = faultOf(files);
  if (!fault) return loadAuthority({ cert: readPem(files.certPath), key: readPem(files.keyPath) });
  if (options.established) throw damaged(fault);
  return makeAuthority(files, options);
}

/**
 * The CA of client certificates of the API, made when it is missing: no node depends on it, and an older cloudcore had none.
 * @throws ConfigError when it is damaged
 */
export async function ensureClientAuthority(home: string, nowMs: number): Promise<Authority> {
  const files = clientCaFilesIn(home);
  const established = existsSync(files.certPath);
  return ensureOwnAuthority(files, { established, nowMs, commonName: clientCaName });
}

/** A CA that signs one client certificate: that by which aggregated servers know the API. @throws ConfigError when it is damaged */
export async function ensureProxyAuthority(home: string, nowMs: number): Promise<Authority> {
  const files = caFilesIn(join(home, "proxy"));
  const established = existsSync(files.certPath);
  return ensureOwnAuthority(files, { established, nowMs, commonName: "KubeEdge API aggregation" });
}

/** Where the API below `home` keeps the CA of its clients. */
export function clientCaFilesIn(home: string): CaFiles {
  return caFilesIn(join(home, "clients"));
}

/** @throws ConfigError when the key is not that of the certificate */
export async function loadNamedAuthority(files: CaFiles): Promise<Authority> {
  const [cert, key] = [readPem(files.certPath), readPem(files.keyPath)];
  if (isKeyPair(cert, key)) return loadAuthority({ cert, key });
  throw new ConfigError("bad-ca", `Cannot use CA "${files.certPath}": "${files.keyPath}" is not its key`);
}

/** Puts a new CA where there is none that can be used; what is left of the old one is set aside. @returns whether it did */
export async function replaceAuthority(files: CaFiles, options: NewCa): Promise<boolean> {
  if (!faultOf(files)) return false;
  for (const path of [files.certPath, files.keyPath])
    if (existsSync(path)) renameSync(path, `${path}.damaged-${options.nowMs}`);
  await makeAuthority(files, options);
  return true;
}

/** The key first: a certificate that is there has its key, whenever the power fails. */
export function writePair(paths: CaFiles, pair: { readonly cert: string; readonly key: string }): void {
  writePem(paths.keyPath, pair.key);
  writePem(paths.certPath, pair.cert);
}

export function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError("unreadable-file", `Cannot read "${path}": ${asError(error).message}`, {
      cause: error,
    });
  }
}

interface CaFault {
  readonly path: string;
  readonly why: string;
}

function faultOf({ certPath, keyPath }: CaFiles): CaFault | undefined {
  for (const [path, parse] of [
    [certPath, (text: string) => new X509Certificate(text)],
    [keyPath, (text: string) => createPrivateKey(text)],
  ] as const) {
    if (!existsSync(path)) return { path, why: "it is missing" };
    const text = readPem(path);
    if (text.trim() === "") return { path, why: "it is empty" };
    if (!canParse(() => parse(text))) return { path, why: "it is damaged" };
  }
  return isKeyPair(readPem(certPath), readPem(keyPath))
    ? undefined
    : { path: keyPath, why: `it is not the key of "${certPath}"` };
}

function damaged({ path, why }: CaFault): ConfigError {
  return new ConfigError(
    "damaged-ca",
    `Cannot use CA file ${quote(path)}: ${why}, and cloudcore has run with it before; restore it from a backup (\`cloudcore restore FILE\`), or create another CA with \`cloudcore new-ca\`; nodes then have to join again, and copies of the kubeconfig have to be replaced`,
  );
}

async function makeAuthority(files: CaFiles, { nowMs, commonName = "KubeEdge" }: NewCa): Promise<Authority> {
  const made = await createAuthority({ commonName, days: caDays, nowMs });
  writePair(files, { cert: made.certPem, key: made.keyPem });
  return made;
}

function canParse(parse: () => unknown): boolean {
  try {
    parse();
    return true;
  } catch {
    return false;
  }
}

function writePem(path: string, text: string): void {
  try {
    writeWhole(path, text);
  } catch (error) {
    throw new ConfigError("unwritable-file", `Cannot write "${path}": ${asError(error).message}`, {
      cause: error,
    });
  }
}
