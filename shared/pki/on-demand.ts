import type { Authority, KeyPair } from "./authority.ts";
import type { CertificateRequest } from "./request.ts";

// The library behind these takes megabytes, and an edge node that has its certificate signs nothing for weeks: it is
// loaded by the first call. It asks for Reflect.metadata while it loads; bundled, only an import of its own comes first.
async function prepare(): Promise<void> {
  await import("reflect-metadata");
}

/** Makes a new CA (ECDSA P-256). */
export async function createAuthority(options: {
  readonly commonName: string;
  readonly days: number;
  readonly nowMs: number;
}): Promise<Authority> {
  await prepare();
  const authority = await import("./authority.ts");
  return authority.createAuthority(options);
}

/** An existing CA from PEM texts. */
export async function loadAuthority(pair: KeyPair): Promise<Authority> {
  await prepare();
  const authority = await import("./authority.ts");
  return authority.loadAuthority(pair);
}

/**
 * Asks for O=system:nodes, CN=system:node:<node>, the identity KubeEdge 1.16 and later give an edge node, with a new key
 * or with the ECDSA P-256 key given.
 */
export async function createNodeRequest(node: string, key?: string): Promise<CertificateRequest> {
  await prepare();
  const request = await import("./request.ts");
  return request.createNodeRequest(node, key);
}
