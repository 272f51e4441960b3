import "reflect-metadata";
import { createPrivateKey, createPublicKey, type AsymmetricKeyDetails, type KeyObject } from "node:crypto";
import { cryptoProvider, PemConverter } from "@peculiar/x509";
import { ConfigError } from "#shared/errors";
import { toPem } from "./pem.ts";

/** How our own keys are made: ECDSA P-256, as KubeEdge makes them. */
export const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

export async function generateKeys(): Promise<CryptoKeyPair> {
  cryptoProvider.set(crypto);
  return crypto.subtle.generateKey(ecdsa, true, ["sign", "verify"]);
}

/** PKCS#8 PEM of a private key. */
export async function exportKey(key: CryptoKey): Promise<string> {
  return PemConverter.encode(await crypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

/** A private key from PEM or DER (PKCS#8, SEC1 or PKCS#1; EC P-256 or RSA), ready to sign. */
export async function importKey(source: string | Uint8Array): Promise<CryptoKey> {
  const key = readKey(source);
  const der = new Uint8Array(key.export({ type: "pkcs8", format: "der" }));
  const algorithm = key.asymmetricKeyType === "rsa" ? { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } : ecdsa;
  return crypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
}

function readKey(source: string | Uint8Array): KeyObject {
  if (typeof source === "string") return createPrivateKey(source);
  for (const label of ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]) {
    try {
      return createPrivateKey(toPem(source, label));
    } catch {
      continue;
    }
  }
  throw new ConfigError("bad-key", "Cannot read private key: neither PKCS#8, SEC1 nor PKCS#1");
}

const curves: ReadonlySet<string> = new Set(["prime256v1", "secp384r1", "secp521r1"]);
const rsaBits = { least: 2048, most: 8192 } as const;
const largestExponent = 2n ** 32n;

/** Why a public key (SubjectPublicKeyInfo, DER) must not go into a certificate. @throws when it is none */
export function findKeyFault(spki: Uint8Array): string | undefined {
  const key = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  const type = key.asymmetricKeyType;
  if (type === "ec") return findCurveFault(key.asymmetricKeyDetails?.namedCurve);
  if (type === "rsa") return findRsaFault(key.asymmetricKeyDetails);
  return type === "ed25519" ? undefined : `of type ${type ?? "unknown"}: use ECDSA, RSA or Ed25519`;
}

function findCurveFault(curve = "unknown"): string | undefined {
  return curves.has(curve) ? undefined : `on the curve ${curve}: use P-256, P-384 or P-521`;
}

function findRsaFault({ modulusLength = 0, publicExponent = 0n }: AsymmetricKeyDetails = {}):
  string | undefined {
  if (modulusLength < rsaBits.least || modulusLength > rsaBits.most)
    return `RSA of ${modulusLength} bits: use ${rsaBits.least} to ${rsaBits.most}`;
  return publicExponent > largestExponent ? "RSA with a huge exponent: use 65537" : undefined;
}

/** Both halves of a private key in PEM, to sign a request with. */
export async function importKeyPair(pem: string): Promise<CryptoKeyPair> {
  const privateKey = await importKey(pem);
  const spki = new Uint8Array(createPublicKey(pem).export({ type: "spki", format: "der" }));
  const publicKey = await crypto.subtle.importKey("spki", spki, ecdsa, true, ["verify"]);
  return { privateKey, publicKey };
}
