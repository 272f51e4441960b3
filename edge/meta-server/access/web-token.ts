import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { asRecord, asText, isRecord, tryJson } from "#shared/json";

/** A token of a service account that the API signed (JSON web token, RFC 7519). */
export interface AccountClaims {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly namespace: string;
  readonly account: string;
  /** Seconds since 1970. */
  readonly expires: number;
  readonly notBefore: number;
  /** What it ends with: a pod, a secret or a node. */
  readonly bound: { readonly kind: string; readonly name: string; readonly uid: string } | undefined;
}

interface Algorithm {
  readonly hash: string;
  readonly type: "rsa" | "ec";
}

/** Those that kube-apiserver signs and verifies with. */
const algorithms: Readonly<Record<string, Algorithm>> = {
  RS256: { hash: "sha256", type: "rsa" },
  RS384: { hash: "sha384", type: "rsa" },
  RS512: { hash: "sha512", type: "rsa" },
  ES256: { hash: "sha256", type: "ec" },
  ES384: { hash: "sha384", type: "ec" },
  ES512: { hash: "sha512", type: "ec" },
};
/** Tokens have 1 to 2 KiB. */
const longestToken = 16 * 1024;

/** Public keys of the API, by the algorithm and id that its tokens name. */
export class TokenKeys {
  readonly #keys: readonly { readonly id: string; readonly type: string; readonly key: KeyObject }[];

  /** @param keySet a JSON web key set (RFC 7517); keys that cannot be read are left out */
  constructor(keySet: unknown) {
    const keys = asRecord(keySet)?.["keys"];
    this.#keys = (Array.isArray(keys) ? keys : []).flatMap((key: unknown) => {
      const read = isRecord(key) ? readKey(key) : undefined;
      return read ? [read] : [];
    });
  }

  get size(): number {
    return this.#keys.length;
  }

  /** The claims of a token that one of the keys signed; dates and what it is bound to are not checked. */
  read(token: string): AccountClaims | undefined {
    if (token.length > longestToken) return undefined;
    const [head = "", claims = "", signature = "", ...rest] = token.split(".");
    if (rest.length > 0 || signature === "") return undefined;
    const header = asRecord(parsePart(head));
    const algorithm = algorithmOf(header?.["alg"]);
    if (!algorithm) return undefined;
    const signed = Buffer.from(`${head}.${claims}`);
    const bytes = Buffer.from(signature, "base64url");
    const named = this.#keys.filter(
      ({ id, type }) => type === algorithm.type && isNamed(id, header?.["kid"]),
    );
    const isSigned = named.some(({ key }) => isSignedBy(key, algorithm, signed, bytes));
    return isSigned ? readClaims(parsePart(claims)) : undefined;
  }
}

/** Claims of a token that the cloud itself has just given. */
export function readOwnToken(token: string): AccountClaims | undefined {
  return readClaims(parsePart(token.split(".")[1] ?? ""));
}

function algorithmOf(name: unknown): Algorithm | undefined {
  return typeof name === "string" && Object.hasOwn(algorithms, name) ? algorithms[name] : undefined;
}

function isNamed(id: string, asked: unknown): boolean {
  return typeof asked !== "string" || asked === "" || id === "" || id === asked;
}

function isSignedBy(key: KeyObject, { hash, type }: Algorithm, signed: Buffer, signature: Buffer): boolean {
  try {
    const using = type === "ec" ? { key, dsaEncoding: "ieee-p1363" as const } : { key };
    return verify(hash, signed, using, signature);
  } catch {
    return false;
  }
}

function readKey(
  key: Record<string, unknown>,
): { readonly id: string; readonly type: string; readonly key: KeyObject } | undefined {
  try {
    const made = createPublicKey({ key, format: "jwk" });
    const type = made.asymmetricKeyType ?? "";
    const id = key["kid"];
    if (type !== "rsa" && type !== "ec") return undefined;
    return { id: typeof id === "string" ? id : "", type, key: made };
  } catch {
    return undefined;
  }
}

function parsePart(part: string): unknown {
  return tryJson(Buffer.from(part, "base64url").toString());
}

function readClaims(value: unknown): AccountClaims | undefined {
  const claims = asRecord(value) ?? {};
  const about = asRecord(claims["kubernetes.io"]);
  const account = asText(asRecord(about?.["serviceaccount"])?.["name"]);
  const [issuer, namespace] = [asText(claims["iss"]), asText(about?.["namespace"])];
  const { exp: expires, nbf: notBefore = 0, aud, sub } = claims;
  if (typeof expires !== "number" || typeof notBefore !== "number") return undefined;
  if (namespace === "" || account === "" || sub !== `system:serviceaccount:${namespace}:${account}`)
    return undefined;
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one) => typeof one === "string");
  return { issuer, audiences, namespace, account, expires, notBefore, bound: boundOf(about) };
}

function boundOf(about: Readonly<Record<string, unknown>> | undefined): AccountClaims["bound"] {
  // A token that is bound to a pod also names the pod's node.
  for (const kind of ["pod", "secret", "node"]) {
    const bound = asRecord(about?.[kind]);
    if (!bound) continue;
    const { name, uid } = bound;
    return { kind, name: typeof name === "string" ? name : "", uid: typeof uid === "string" ? uid : "" };
  }
  return undefined;
}
