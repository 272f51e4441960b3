import "reflect-metadata";
import { Name, Pkcs10CertificateRequestGenerator } from "@peculiar/x509";
import { exportKey, generateKeys } from "./keys.ts";

/** A DER certificate request and the PEM private key it is for. */
export interface CertificateRequest {
  readonly der: Uint8Array;
  readonly key: string;
}

/** Asks for O=system:nodes, CN=system:node:<node>, the identity KubeEdge 1.16 and later give an edge node. */
export async function createNodeRequest(node: string): Promise<CertificateRequest> {
  const keys = await generateKeys();
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: new Name([{ O: ["system:nodes"] }, { CN: [`system:node:${node}`] }]).toString(),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
  });
  return { der: new Uint8Array(request.rawData), key: await exportKey(keys.privateKey) };
}
