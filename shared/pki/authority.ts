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
import { subjectOfCertificate, subjectOfRequest, type SubjectNames } from "./subject.ts";
import { exportKey, findKeyFault, generateKeys, importKey } from "./keys.ts";

const dayMs = 86_400_000;
const keyUsages: Partial<Record<CertifiedUsage, KeyUsageFlags>> = {
  "digital signature": KeyUsageFlags.digitalSignature,
  "key encipherment": KeyUsageFlags.keyEncipherment,
};
const usages = { server: "1.3.6.1.5.5.7.3.1", client: "1.3.6.1.5.5.7.3.2" } as const;

const extendedUsages: Partial<Record<CertifiedUsage, string>> = {
  "client auth": usages.client,
  "server auth": usages.server,
};

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

/** A request whose signature holds and whose key is strong enough. */
export interface OpenedRequest {
  /** hex SHA-256 of the public key (SubjectPublicKeyInfo, DER) */
  readonly keyHash: string;
  readonly asked: AskedNames;
  /** Signs it for client authentication; of what it asks for only the key is taken. */
  sign(options: Omit<IssueOptions, "hosts" | "usage">): Promise<SignedRequest>;
  /** Signs what it asks for: its subject and its names. The caller has judged both. @throws ProtocolError */
  certify(options: CertifyOptions): Promise<SignedRequest>;
}

/** What a request asks for besides its key. */
export interface AskedNames {
  readonly subject: SubjectNames;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
  /** Alternative names of any other type, and those of e-mail. */
  readonly otherNames: readonly string[];
}

export interface CertifyOptions {
  readonly usages: readonly CertifiedUsage[];
  readonly nowMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** As certificates.k8s.io names them. */
export type CertifiedUsage = "digital signature" | "key encipherment" | "client auth" | "server auth";

export interface SignedRequest {
  readonly der: Uint8Array;
  /** hex, lower case */
  readonly serial: string;
  /** when it was signed; it is valid from a little earlier on */
  readonly atMs: number;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A certificate authority: signs server and client certificates and edges' requests. */
export interface Authority {
  readonly certPem: string;
  readonly keyPem: string;
  readonly certDer: Uint8Array;
  /** hex SHA-256 of the DER certificate: the pin in a join token */
  readonly fingerprint: string;
  /** Before this nobody trusts what it signs. */
  readonly notBeforeMs: number;
  issue(options: IssueOptions): Promise<KeyPair>;
  /** Reads a DER request. @throws ProtocolError on a bad request */
  openRequest(der: Uint8Array): Promise<OpenedRequest>;
  /** Opens a request and signs it, keeping only `subject`. @throws ProtocolError on a bad request */
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
  const openRequest = async (der: Uint8Array): Promise<OpenedRequest> => {
    const request = await verifiedRequest(der);
    const { publicKey } = request;
    const asked = askedNames(request);
    return {
      keyHash: hashOf(publicKey.rawData),
      asked,
      certify: async (options) => {
        const cert = await certify({ ca, key }, { request, asked }, options);
        return signedOf(cert, options.nowMs);
      },
      sign: async (options) => {
        const cert = await sign({ ca, key }, publicKey, { ...options, usage: "client" });
        return signedOf(cert, options.nowMs);
      },
    };
  };
  return {
    certPem: `${ca.toString("pem")}\n`,
    keyPem,
    certDer,
    fingerprint: createHash("sha256").update(certDer).digest("hex"),
    notBeforeMs: ca.notBefore.getTime(),
    issue: async (options) => {
      const keys = await generateKeys();
      const cert = await sign({ ca, key }, keys.publicKey, options);
      return { cert: `${cert.toString("pem")}\n`, key: await exportKey(keys.privateKey) };
    },
    openRequest,
    signRequest: async (der, options) => (await (await openRequest(der)).sign(options)).der,
  };
}

/** The key is judged before its signature is verified: a huge one would cost much to verify. */
async function verifiedRequest(der: Uint8Array): Promise<Pkcs10CertificateRequest> {
  const unreadable = "Cannot read certificate request: not a DER PKCS#10 request";
  const request = attempt(() => new Pkcs10CertificateRequest(new Uint8Array(der)), unreadable);
  const fault = attempt(() => findKeyFault(new Uint8Array(request.publicKey.rawData)), unreadable);
  if (fault !== undefined)
    throw new ProtocolError("weak-key", `Cannot accept certificate request: its key is ${fault}`);
  const verified = await request.verify().catch(() => false);
  if (verified) return request;
  throw new ProtocolError("bad-csr", "Cannot accept certificate request: its signature does not verify");
}

function askedNames(request: Pkcs10CertificateRequest): AskedNames {
  const names = request.extensions.flatMap((one) =>
    one instanceof SubjectAlternativeNameExtension ? one.names.items : [],
  );
  const of = (type: string): string[] => names.filter((name) => name.type === type).map(({ value }) => value);
  const others = names.filter(({ type }) => type !== "dns" && type !== "ip");
  return {
    subject: attempt(
      () => subjectOfRequest(new Uint8Array(request.rawData)),
      "Cannot read certificate request: its subject is damaged",
    ),
    dnsNames: of("dns"),
    ipAddresses: of("ip"),
    otherNames: others.map(({ type, value }) => `${type}:${value}`),
  };
}

async function certify(
  issuer: { readonly ca: X509Certificate; readonly key: CryptoKey },
  {
    request,
    asked: { dnsNames, ipAddresses, subject },
  }: { readonly request: Pkcs10CertificateRequest; readonly asked: AskedNames },
  { usages: wanted, notBeforeMs, notAfterMs }: CertifyOptions,
): Promise<X509Certificate> {
  const names = [
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
    ...ipAddresses.map((value) => ({ type: "ip", value }) as const),
  ];
  const flags = wanted.map((usage) => keyUsages[usage] ?? 0).reduce((sum, flag) => sum | flag, 0);
  const extended = wanted.flatMap((usage) => extendedUsages[usage] ?? []);
  const cert = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: request.subjectName,
    issuer: issuer.ca.subject,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: { ...issuer.key.algorithm, hash: "SHA-256" },
    publicKey: request.publicKey,
    signingKey: issuer.key,
    extensions: [
      ...(flags === 0 ? [] : [new KeyUsagesExtension(flags, true)]),
      new ExtendedKeyUsageExtension(extended),
      new BasicConstraintsExtension(false, undefined, true),
      await AuthorityKeyIdentifierExtension.create(issuer.ca),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  // What was judged is what is signed, however the library spells it.
  if (Bun.deepEquals(subjectOfCertificate(new Uint8Array(cert.rawData)), subject)) return cert;
  throw new ProtocolError(
    "bad-csr",
    "Cannot sign certificate request: its subject changes when it is written again",
  );
}

function attempt<T>(read: () => T, text: string): T {
  try {
    return read();
  } catch (cause) {
    throw new ProtocolError("bad-csr", text, { cause });
  }
}

function signedOf(cert: X509Certificate, atMs: number): SignedRequest {
  return {
    atMs,
    der: new Uint8Array(cert.rawData),
    serial: cert.serialNumber.toLowerCase(),
    notBeforeMs: cert.notBefore.getTime(),
    notAfterMs: cert.notAfter.getTime(),
  };
}

function hashOf(der: ArrayBuffer | Uint8Array): string {
  return createHash("sha256").update(new Uint8Array(der)).digest("hex");
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
