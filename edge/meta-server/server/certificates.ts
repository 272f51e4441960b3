import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { canonicalHost, createAuthority, isSignedBy, loadAuthority, readCertificate } from "#shared/pki";
import { writeKept, type OnUnwritten } from "./kept-file.ts";

/** Certificate and key of the server, and the CA that its clients trust. */
export interface ServerCertificates {
  readonly caPem: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  readonly nowMs: number;
  /** What cannot be written is used all the same. */
  readonly onUnwritten: OnUnwritten;
}

/** The CA is trusted by clients on this node alone, and pods that run for years have it in their files. */
const caDays = 36_500;
const serverDays = 365;
const renewBeforeMs = 30 * 86_400_000;

/**
 * The CA of this node and the certificate of its API, kept in `<data-dir>/meta-server`; made again when they are missing,
 * damaged or not valid now, the server's also when a host is missing in it or it ends within 30 days.
 */
export async function ensureServerCertificates(
  dataDir: string,
  hosts: readonly string[],
  options: CertificateOptions,
): Promise<ServerCertificates> {
  const { nowMs } = options;
  const folder = join(dataDir, "meta-server");
  const ca = await ensureCa(folder, options);
  const kept = readPair(folder, "server");
  if (kept && isUsable(kept, ca.cert, hosts, nowMs)) return { caPem: ca.cert, ...kept };
  // What signs takes megabytes, and is loaded once a year.
  const authority = await loadAuthority(ca);
  const made = await authority.issue({
    subject: { commonName: "kubeedge-node-api" },
    hosts,
    usage: "server",
    days: serverDays,
    nowMs,
  });
  writePair(folder, "server", made, options);
  return { caPem: ca.cert, ...made };
}

/** The certificates of one run: those that a full disk did not take are made once. */
export class CertificateSource {
  readonly #dataDir: string;
  readonly #options: { readonly nowMs: () => number; readonly onUnwritten: OnUnwritten };
  #unwritten: { readonly hosts: string; readonly made: ServerCertificates } | undefined;

  constructor(dataDir: string, options: { readonly nowMs: () => number; readonly onUnwritten: OnUnwritten }) {
    this.#dataDir = dataDir;
    this.#options = options;
  }

  async ensure(hosts: readonly string[]): Promise<ServerCertificates> {
    const key = hosts.join(" ");
    if (this.#unwritten?.hosts === key) return this.#unwritten.made;
    let isWritten = true;
    const onUnwritten: OnUnwritten = (path, error) => {
      isWritten = false;
      this.#options.onUnwritten(path, error);
    };
    const made = await ensureServerCertificates(this.#dataDir, hosts, {
      nowMs: this.#options.nowMs(),
      onUnwritten,
    });
    this.#unwritten = isWritten ? undefined : { hosts: key, made };
    return made;
  }
}

async function ensureCa(folder: string, options: CertificateOptions): Promise<Pair> {
  const { nowMs } = options;
  const kept = readPair(folder, "ca");
  // The clock of a node without a battery may have been years ahead.
  if (kept && readCertificate(kept.cert).notBeforeMs <= nowMs) return kept;
  const made = await createAuthority({ commonName: "kubeedge-node", days: caDays, nowMs });
  const pair = { cert: made.certPem, key: made.keyPem };
  writePair(folder, "ca", pair, options);
  return pair;
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** The key first: a certificate that is there has its key. */
function writePair(
  folder: string,
  name: string,
  { cert, key }: Pair,
  { onUnwritten }: CertificateOptions,
): void {
  writeKept(join(folder, `${name}.key`), key, onUnwritten);
  writeKept(join(folder, `${name}.crt`), cert, onUnwritten);
}

function readPair(folder: string, name: string): Pair | undefined {
  const [certPath, keyPath] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  if (!existsSync(certPath) || !existsSync(keyPath)) return undefined;
  const pair = { cert: readFileSync(certPath, "utf8"), key: readFileSync(keyPath, "utf8") };
  try {
    return new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)) ? pair : undefined;
  } catch {
    return undefined;
  }
}

function isUsable({ cert }: Pair, caPem: string, hosts: readonly string[], nowMs: number): boolean {
  const { hosts: named, notBeforeMs, notAfterMs } = readCertificate(cert);
  return (
    isSignedBy(cert, caPem) &&
    notBeforeMs <= nowMs &&
    notAfterMs - nowMs > renewBeforeMs &&
    hosts.every((host) => named.map(canonicalHost).includes(canonicalHost(host)))
  );
}
