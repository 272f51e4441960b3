import "reflect-metadata";
import { cryptoProvider, Name, Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import { exportKey, generateKeys, importKeyPair } from "./keys.ts";

/** A DER certificate request and the PEM private key it is for. */
export interface CertificateRequest {
  readonly der: Uint8Array;
  readonly key: string;
}

/**
 * Asks for O=system:nodes, CN=system:node:<node>, the identity KubeEdge 1.16 and later give an edge node, with a new key
 * or with the ECDSA P-256 key given.
 */
export async function createNodeRequest(node: string, key?: string): Promise<CertificateRequest> {
  cryptoProvider.set(crypto);
  const keys = key === undefined ? await generateKeys() : await importKeyPair(key);
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: new Name([{ O: ["system:nodes"] }, { CN: [`system:node:${node}`] }]).toString(),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
  });
  return { der: new Uint8Array(request.rawData), key: key ?? (await exportKey(keys.privateKey)) };
}
