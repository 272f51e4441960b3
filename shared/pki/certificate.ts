import { X509Certificate } from "node:crypto";

export interface CertificateInfo {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly hosts: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly issuer: string;
}

/** What a PEM or DER certificate says. @throws when it is not a certificate */
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
