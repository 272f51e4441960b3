import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { asError, ConfigError } from "#shared/errors";
import { writeWhole } from "#shared/files";
import { createAuthority, isSignedBy, loadAuthority, readCertificate, type Authority } from "#shared/pki";

const caDays = 36_500;
const serverDays = 3650;
const renewBeforeMs = 30 * 86_400_000;

export interface CertificateOptions {
  readonly dataDir: string;
  readonly nowMs: number;
  /** host names and addresses edges may use besides the machine's own */
  readonly advertise?: readonly string[];
  /** Paths of PEM files that replace those of the data directory. */
  readonly caFile?: string | undefined;
  readonly caKeyFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface CloudCertificates {
  /** undefined when the key of a CA from outside was not given: nodes cannot enrol */
  readonly authority: Authority | undefined;
  readonly caPem: string;
  readonly serverCert: string;
  readonly serverKey: string;
}

/**
 * The CA and the server certificate, made when missing; the server's again when a host is missing in it, when it is
 * not of this CA or ends within 30 days. Files named by the options are only read.
 * @throws ConfigError when a file cannot be used
 */
export async function ensureCertificates(options: CertificateOptions): Promise<CloudCertificates> {
  const { authority, caPem } = await ensureAuthority(options);
  if (options.certFile !== undefined && options.keyFile !== undefined) {
    const serverCert = read(options.certFile);
    const serverKey = read(options.keyFile);
    if (!isPair(serverCert, serverKey))
      throw new ConfigError(
        "bad-certificate",
        `Cannot use "${options.certFile}": "${options.keyFile}" is not its key`,
      );
    return { authority, caPem, serverCert, serverKey };
  }
  if (!authority)
    throw new ConfigError("no-ca-key", "Cannot issue the server certificate: cloudhub.ca-key is not set");
  return { authority, caPem, ...(await ensureServer(authority, options)) };
}

async function ensureAuthority(
  options: CertificateOptions,
): Promise<{ authority: Authority | undefined; caPem: string }> {
  const { caFile, caKeyFile } = options;
  if (caFile !== undefined) {
    const caPem = read(caFile);
    const authority = caKeyFile === undefined ? undefined : await load(caFile, caPem, read(caKeyFile));
    return { authority, caPem };
  }
  const certPath = join(options.dataDir, "ca/rootCA.crt");
  const keyPath = join(options.dataDir, "ca/rootCA.key");
  if (existsSync(certPath)) {
    const authority = await load(certPath, read(certPath), read(keyPath));
    return { authority, caPem: authority.certPem };
  }
  const made = await createAuthority({ commonName: "KubeEdge", days: caDays, nowMs: options.nowMs });
  writePair({ certPath, keyPath }, { cert: made.certPem, key: made.keyPem });
  return { authority: made, caPem: made.certPem };
}

async function load(path: string, cert: string, key: string): Promise<Authority> {
  if (!isPair(cert, key))
    throw new ConfigError("bad-ca", `Cannot use CA "${path}": the key beside it is not its key`);
  return loadAuthority({ cert, key });
}

async function ensureServer(
  authority: Authority,
  options: CertificateOptions,
): Promise<{ serverCert: string; serverKey: string }> {
  const certPath = join(options.dataDir, "certs/server.crt");
  const keyPath = join(options.dataDir, "certs/server.key");
  const hosts = hostsOf(options.advertise ?? []);
  if (existsSync(certPath) && existsSync(keyPath)) {
    const serverCert = read(certPath);
    const serverKey = read(keyPath);
    if (isUsable({ serverCert, serverKey, caPem: authority.certPem }, hosts, options.nowMs))
      return { serverCert, serverKey };
  }
  const pair = await authority.issue({
    subject: { commonName: "KubeEdge", organizations: ["KubeEdge"] },
    hosts,
    usage: "server",
    days: serverDays,
    nowMs: options.nowMs,
  });
  writePair({ certPath, keyPath }, pair);
  return { serverCert: pair.cert, serverKey: pair.key };
}

function isUsable(
  pems: { readonly serverCert: string; readonly serverKey: string; readonly caPem: string },
  hosts: readonly string[],
  nowMs: number,
): boolean {
  try {
    const info = readCertificate(pems.serverCert);
    const named = new Set(info.hosts.map(canonicalHost));
    return (
      isPair(pems.serverCert, pems.serverKey) &&
      isSignedBy(pems.serverCert, pems.caPem) &&
      info.notAfterMs - nowMs > renewBeforeMs &&
      hosts.every((host) => named.has(host))
    );
  } catch {
    return false;
  }
}

/** Every name and address this machine may be reached by, and those advertised. */
function hostsOf(advertise: readonly string[]): string[] {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith("fe80:"));
  const all = ["127.0.0.1", "localhost", hostname(), ...own, ...advertise];
  return [...new Set(all.filter((host) => host !== "").map(canonicalHost))];
}

/** IPv6 addresses have many spellings; certificates show another than interfaces do. */
function canonicalHost(host: string): string {
  if (!host.includes(":")) return host.toLowerCase();
  const url = `http://[${host}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : host;
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigError("unreadable-file", `Cannot read "${path}": ${asError(error).message}`, {
      cause: error,
    });
  }
}

/** The key first: a certificate that is there has its key, whenever the power fails. */
function writePair(
  paths: { readonly certPath: string; readonly keyPath: string },
  pair: { readonly cert: string; readonly key: string },
): void {
  writePem(paths.keyPath, pair.key);
  writePem(paths.certPath, pair.cert);
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
