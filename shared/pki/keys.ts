import "reflect-metadata";
import { createPrivateKey, type KeyObject } from "node:crypto";
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
