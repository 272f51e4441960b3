import "reflect-metadata";
import { createHash } from "node:crypto";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { ProtocolError } from "#shared/errors";
import { exportKey, generateKeys, importKey } from "./keys.ts";

const dayMs = 86_400_000;
const usages = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;

export interface Subject {
  readonly commonName: string;
  readonly organizations?: readonly string[];
}

export interface IssueOptions {
  readonly subject: Subject;
  /** host names and IP addresses of a server certificate */
  readonly hosts?: readonly string[];
  readonly usage: "server" | "client" | "both";
  readonly days: number;
  readonly nowMs: number;
}

/** PEM texts of a certificate and its private key. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority: signs server and client certificates and edges' requests. */
export interface Authority {
  readonly certPem: string;
  readonly keyPem: string;
  readonly certDer: Uint8Array;
  /** hex SHA-256 of the DER certificate: the pin in a join token */
  readonly fingerprint: string;
  issue(options: IssueOptions): Promise<KeyPair>;
  /** Signs a DER request for client authentication, keeping only `subject`. @throws ProtocolError on a bad request */
  signRequest(der: Uint8Array, options: Omit<IssueOptions, "hosts" | "usage">): Promise<Uint8Array>;
}

/** Makes a new CA (ECDSA P-256). */
export async function createAuthority(options: {
  readonly commonName: string;
  readonly days: number;
  readonly nowMs: number;
}): Promise<Authority> {
  const keys = await generateKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: formatName({ commonName: options.commonName }),
    notBefore: new Date(options.nowMs - 3_600_000),
    notAfter: new Date(options.nowMs + options.days * dayMs),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(
        KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature,
        true,
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authority(cert, keys.privateKey, await exportKey(keys.privateKey));
}

/** An existing CA from PEM texts. */
export async function loadAuthority(pair: KeyPair): Promise<Authority> {
  cryptoProvider.set(crypto);
  return authority(new X509Certificate(pair.cert), await importKey(pair.key), pair.key);
}

function authority(ca: X509Certificate, key: CryptoKey, keyPem: string): Authority {
  const certDer = new Uint8Array(ca.rawData);
  return {
    certPem: `${ca.toString("pem")}\n`,
    keyPem,
    certDer,
    fingerprint: createHash("sha256").update(certDer).digest("hex"),
    issue: async (options) => {
      const keys = await generateKeys();
      const cert = await sign({ ca, key }, keys.publicKey, options);
      return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
    },
    signRequest: async (der, options) => {
      const request = await verifiedRequest(der);
      const cert = await sign({ ca, key }, request, { ...options, usage: "client" });
      return new Uint8Array(cert.rawData);
    },
  };
}

async function verifiedRequest(der: Uint8Array): Promise<Pkcs10CertificateRequest["publicKey"]> {
  try {
    const request = new Pkcs10CertificateRequest(new Uint8Array(der));
    if (await request.verify()) return request.publicKey;
  } catch (cause) {
    throw new ProtocolError("bad-csr", "Cannot read certificate request: not a DER PKCS#10 request", {
      cause,
    });
  }
  throw new ProtocolError("bad-csr", "Cannot accept certificate request: its signature does not verify");
}

async function sign(
  issuer: { readonly ca: X509Certificate; readonly key: CryptoKey },
  publicKey: CryptoKey | Pkcs10CertificateRequest["publicKey"],
  options: IssueOptions,
): Promise<X509Certificate> {
  const wanted = options.usage === "both" ? [usages.server, usages.client] : [usages[options.usage]];
  const hosts = (options.hosts ?? []).map(
    (host) => ({ type: isIp(host) ? "ip" : "dns", value: host }) as const,
  );
  return X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: formatName(options.subject),
    issuer: issuer.ca.subject,
    notBefore: new Date(options.nowMs - 3_600_000),
    notAfter: new Date(options.nowMs + options.days * dayMs),
    signingAlgorithm: { ...issuer.key.algorithm, hash: "SHA-256" },
    publicKey,
    signingKey: issuer.key,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
      new ExtendedKeyUsageExtension(wanted),
      await AuthorityKeyIdentifierExtension.create(issuer.ca),
      ...(hosts.length > 0 ? [new SubjectAlternativeNameExtension(hosts)] : []),
    ],
  });
}

function formatName(subject: Subject): string {
  const organizations = (subject.organizations ?? []).map((name) => ({ O: [name] }));
  return new Name([...organizations, { CN: [subject.commonName] }]).toString();
}

function isIp(host: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) || host.includes(":");
}

function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return Buffer.from(bytes).toString("hex");
}
