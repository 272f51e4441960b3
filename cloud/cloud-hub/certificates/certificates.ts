import { existsSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { ConfigError } from "#shared/errors";
import { isKeyPair, isSignedBy, readCertificate, type Authority, canonicalHost } from "#shared/pki";
import { caFilesIn, ensureOwnAuthority, loadNamedAuthority, readPem, writePair } from "./authority.ts";

/** Renewed at a start within the last 30 days: a cloudcore that is not restarted in ten years does not exist. */
const serverDays = 3650;
const renewBeforeMs = 30 * 86_400_000;

export interface CertificateOptions {
  readonly dataDir: string;
  readonly nowMs: number;
  /** cloudcore has run on this data directory before: a CA that is missing was lost. */
  readonly established?: boolean;
  /** host names and addresses edges may use besides the machine's own */
  readonly advertise?: readonly string[];
  /** Paths of PEM files that replace those of the data directory. */
  readonly caFile?: string | undefined;
  readonly caKeyFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

export interface CloudCertificates {
  /** undefined when the key of a CA from outside was not given: nodes cannot enroll */
  readonly authority: Authority | undefined;
  readonly caPem: string;
  readonly serverCert: string;
  readonly serverKey: string;
}

/**
 * The CA and the server certificate, made when missing; the server's again when a host is missing in it, when it is
 * not of this CA or expires within 30 days. Files named by the options are only read.
 * @throws ConfigError when a file cannot be used
 */
export async function ensureCertificates(options: CertificateOptions): Promise<CloudCertificates> {
  const { authority, caPem } = await ensureAuthority(options);
  if (options.certFile !== undefined && options.keyFile !== undefined) {
    const serverCert = readPem(options.certFile);
    const serverKey = readPem(options.keyFile);
    if (!isKeyPair(serverCert, serverKey))
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
  const { caFile, caKeyFile, dataDir, nowMs } = options;
  if (caFile !== undefined) {
    const caPem = readPem(caFile);
    const named = caKeyFile === undefined ? undefined : { certPath: caFile, keyPath: caKeyFile };
    return { authority: named && (await loadNamedAuthority(named)), caPem };
  }
  // A file that cloudcore makes later than its CA shows that it had one.
  const established = options.established === true || existsSync(join(dataDir, "certs/server.crt"));
  const authority = await ensureOwnAuthority(caFilesIn(dataDir), { established, nowMs });
  return { authority, caPem: authority.certPem };
}

async function ensureServer(
  authority: Authority,
  options: CertificateOptions,
): Promise<{ serverCert: string; serverKey: string }> {
  const certPath = join(options.dataDir, "certs/server.crt");
  const keyPath = join(options.dataDir, "certs/server.key");
  const hosts = hostsOf(options.advertise ?? []);
  if (existsSync(certPath) && existsSync(keyPath)) {
    const serverCert = readPem(certPath);
    const serverKey = readPem(keyPath);
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
      isKeyPair(pems.serverCert, pems.serverKey) &&
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
  const local = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith("fe80:"));
  const all = ["127.0.0.1", "localhost", hostname(), ...local, ...advertise];
  return [...new Set(all.filter((host) => host !== "").map(canonicalHost))];
}
