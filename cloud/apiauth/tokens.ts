import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";

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

/** Signs and checks service account tokens: ES256 JSON web tokens. */
export class TokenSigner {
  readonly #private: KeyObject;
  readonly #public: KeyObject;
  readonly #keyId: string;

  /** `keyPem` is a PKCS#8 EC P-256 key, as `newKey` makes them. */
  constructor(keyPem: string) {
    this.#private = createPrivateKey(keyPem);
    this.#public = createPublicKey(this.#private);
    const der = this.#public.export({ type: "spki", format: "der" });
    this.#keyId = createHash("sha256").update(der).digest("base64url");
  }

  static newKey(): string {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  }

  sign(claims: TokenClaims): string {
    const header = encode({ alg: "ES256", kid: this.#keyId, typ: "JWT" });
    const signed = `${header}.${encode(claims)}`;
    const key = { key: this.#private, dsaEncoding: "ieee-p1363" } as const;
    return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
  }

  /** The claims of a token signed with this key; says nothing of its dates. */
  read(token: string): TokenClaims | undefined {
    const [header = "", claims = "", signature = "", ...rest] = token.split(".");
    if (rest.length > 0 || signature === "") return undefined;
    const key = { key: this.#public, dsaEncoding: "ieee-p1363" } as const;
    try {
      const right = verify(
        "sha256",
        Buffer.from(`${header}.${claims}`),
        key,
        Buffer.from(signature, "base64url"),
      );
      return right ? (JSON.parse(Buffer.from(claims, "base64url").toString()) as TokenClaims) : undefined;
    } catch {
      return undefined;
    }
  }

  /** The public key as a JSON web key set. */
  keySet(): Record<string, unknown> {
    const key = this.#public.export({ format: "jwk" });
    return { keys: [{ use: "sig", kid: this.#keyId, alg: "ES256", ...key }] };
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
