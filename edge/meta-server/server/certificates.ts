import { createPrivateKey, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeWhole } from "#shared/files";
import { canonicalHost, createAuthority, isSignedBy, loadAuthority, readCertificate } from "#shared/pki";

/** Certificate and key of the server, and the CA that its clients trust. */
export interface ServerCertificates {
  readonly caPem: string;
  readonly cert: string;
  readonly key: string;
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
  nowMs: number,
): Promise<ServerCertificates> {
  const folder = join(dataDir, "meta-server");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const ca = await ensureCa(folder, nowMs);
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
  writePair(folder, "server", made);
  return { caPem: ca.cert, ...made };
}

async function ensureCa(folder: string, nowMs: number): Promise<Pair> {
  const kept = readPair(folder, "ca");
  // The clock of a node without a battery may have been years ahead.
  if (kept && readCertificate(kept.cert).notBeforeMs <= nowMs) return kept;
  const made = await createAuthority({ commonName: "kubeedge-node", days: caDays, nowMs });
  const pair = { cert: made.certPem, key: made.keyPem };
  writePair(folder, "ca", pair);
  return pair;
}

interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** The key first: a certificate that is there has its key. */
function writePair(folder: string, name: string, { cert, key }: Pair): void {
  writeWhole(join(folder, `${name}.key`), key);
  writeWhole(join(folder, `${name}.crt`), cert);
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
