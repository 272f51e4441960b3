import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import type { JsonObject } from "#shared/json";

export interface TokenClaims {
  readonly iss: string;
  readonly aud: readonly string[];
  readonly sub: string;
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly jti: string;
  readonly "kubernetes.io": {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
    readonly secret?: { readonly name: string; readonly uid: string };
    readonly node?: { readonly name: string; readonly uid: string };
  };
}

/**
 * Seconds of a token that was signed with a retired key. Such keys are older than the binding of tokens to the pods of a node:
 * an operator's token cannot be distinguished from an unlimited one that a node requested, so that only short ones are accepted.
 */
const longestRetiredSeconds = 86_400;

interface VerifyKey {
  readonly id: string;
  readonly key: KeyObject;
  readonly retired: boolean;
}

/** Signs and checks service account tokens: ES256 JSON web tokens. */
export class TokenSigner {
  readonly #private: KeyObject;
  readonly #current: VerifyKey;
  readonly #keys: readonly VerifyKey[];

  /** `keyPem` is a PKCS#8 EC P-256 key, as `newKey` makes them; with the public key `retiredPem` nothing is signed. */
  constructor(keyPem: string, retiredPem = "") {
    this.#private = createPrivateKey(keyPem);
    this.#current = verifyKey(createPublicKey(this.#private), false);
    const retired = retiredPem === "" ? [] : [verifyKey(createPublicKey(retiredPem), true)];
    this.#keys = [this.#current, ...retired];
  }

  static newKey(): string {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }

  /** The public half of a key, as PEM. */
  static publicKeyOf(keyPem: string): string {
    return createPublicKey(keyPem).export({ type: "spki", format: "pem" }).toString();
  }

  sign(claims: TokenClaims): string {
    const header = encode({ alg: "ES256", kid: this.#current.id, typ: "JWT" });
    const signed = `${header}.${encode(claims)}`;
    const key = { key: this.#private, dsaEncoding: "ieee-p1363" } as const;
    return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  }

  /** The claims of a token signed with one of the keys; its dates are not checked. */
  read(token: string): TokenClaims | undefined {
    const [header = "", claims = "", signature = "", ...rest] = token.split(".");
    if (rest.length > 0 || signature === "") return undefined;
    const signed = Buffer.from(`${header}.${claims}`);
    const bytes = Buffer.from(signature, "base64url");
    try {
      const by = this.#keys.find(({ key }) =>
        verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, bytes),
      );
      if (!by) return undefined;
      // What the signature verifies was written by this API.
      const read = JSON.parse(Buffer.from(claims, "base64url").toString()) as TokenClaims;
      return by.retired && read.exp - read.iat > longestRetiredSeconds ? undefined : read;
    } catch {
      return undefined;
    }
  }

  /** The public keys as a JSON web key set. */
  keySet(): JsonObject {
    const keys = this.#keys.map(({ id, key }) => ({
      use: "sig",
      kid: id,
      alg: "ES256",
      ...publicHalf(key),
    }));
    return { keys };
  }
}

function publicHalf(key: KeyObject): JsonObject {
  const { kty = "", crv = "", x = "", y = "" } = key.export({ format: "jwk" });
  return { kty, crv, x, y };
}

function verifyKey(key: KeyObject, retired: boolean): VerifyKey {
  const der = key.export({ type: "spki", format: "der" });
  return { id: createHash("sha256").update(der).digest("base64url"), key, retired };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
