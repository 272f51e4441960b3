import { createHash, X509Certificate } from "node:crypto";

export interface CertificateInfo {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly hosts: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly issuer: string;
}

/** Reads a PEM or DER certificate. @throws when it is not a certificate */
export function readCertificate(source: string | Uint8Array): CertificateInfo {
  const cert = new X509Certificate(source);
  const field = (name: string): string[] =>
    cert.subject
      .split("\n")
      .filter((line) => line.startsWith(`${name}=`))
      .map((line) => line.slice(name.length + 1));
  return {
    commonName: field("CN")[0] ?? "",
    organizations: field("O"),
    hosts: (cert.subjectAltName ?? "")
      .split(", ")
      .filter((part) => part !== "")
      .map((part) => part.replace(/^(DNS|IP Address):/, "")),
    notBeforeMs: Date.parse(cert.validFrom),
    notAfterMs: Date.parse(cert.validTo),
    issuer: cert.issuer,
  };
}

/** Whether `cert` was signed by `ca` (both PEM or DER); does not look at dates. */
export function isSignedBy(cert: string | Uint8Array, ca: string | Uint8Array): boolean {
  return new X509Certificate(cert).verify(new X509Certificate(ca).publicKey);
}

/** Distinguishes a certificate from others of the same subject. */
export interface CertificateId {
  /** hex, lower case */
  readonly serial: string;
  /** hex SHA-256 of the public key (SubjectPublicKeyInfo, DER) */
  readonly keyHash: string;
  /** Whether a client may use it: its extended key usage allows it, or is absent. */
  readonly isForClients: boolean;
}

const clientUsages: ReadonlySet<string> = new Set(["1.3.6.1.5.5.7.3.2", "2.5.29.37.0"]);

/** @throws when it is not a certificate */
export function identifyCertificate(source: string | Uint8Array): CertificateId {
  const cert = new X509Certificate(source);
  const spki = cert.publicKey.export({ type: "spki", format: "der" });
  // Without the extension there is no list, although the types have one.
  const usages = cert.keyUsage as readonly string[] | undefined;
  return {
    serial: cert.serialNumber.toLowerCase(),
    keyHash: createHash("sha256").update(spki).digest("hex"),
    isForClients: !cert.ca && (usages === undefined || usages.some((usage) => clientUsages.has(usage))),
  };
}

/** IPv6 addresses have many spellings; certificates show another than interfaces do. */
export function canonicalHost(host: string): string {
  if (!host.includes(":")) return host.toLowerCase();
  const url = `http://[${host}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : host;
}
