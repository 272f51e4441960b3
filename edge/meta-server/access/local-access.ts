import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "#shared/clock";
import { asRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { KnownAccess } from "./known-access.ts";
import { isAllowed, type Access } from "./rules.ts";
import { TokenKeys, type AccountClaims } from "./web-token.ts";

/** Who sends a request, as far as the node itself can know. */
export type Caller =
  | { readonly kind: "anonymous" }
  /** Holds the token in the kubeconfig of this node. */
  | { readonly kind: "operator" }
  | { readonly kind: "bearer"; readonly token: string };

/** A token that the node verified. */
export type Verdict =
  { readonly ok: true; readonly claims: AccountClaims } | { readonly ok: false; readonly why: string };

export interface LocalAccessOptions {
  readonly known: KnownAccess;
  readonly clock: Clock;
  readonly node: string;
  readonly operatorToken: string;
  readonly findPod: (namespace: string, name: string) => KubeObject | undefined;
}

/** Clocks may differ by this much. */
const leewaySeconds = 60;
/** Tokens whose signature was verified: those of the pods of a node many times over. */
const mostVerified = 1000;

/** Who may read what on this node while the API cannot be asked. */
export class LocalAccess {
  readonly #options: LocalAccessOptions;
  readonly #operatorDigest: Buffer;
  readonly #verified = new Map<string, AccountClaims>();
  #keys: TokenKeys | undefined;

  constructor(options: LocalAccessOptions) {
    this.#options = options;
    this.#operatorDigest = digest(options.operatorToken);
  }

  /** The keys of the API are others. */
  forgetKeys(): void {
    this.#keys = undefined;
    this.#verified.clear();
  }

  callerOf(authorization: string | null): Caller {
    const [, token] = /^bearer[ \t]+(\S+)[ \t]*$/i.exec(authorization ?? "") ?? [];
    if (token === undefined) return { kind: "anonymous" };
    return timingSafeEqual(digest(token), this.#operatorDigest)
      ? { kind: "operator" }
      : { kind: "bearer", token };
  }

  /** Whether a token is one of a service account that would have been valid while there was a link. */
  verify(token: string): Verdict {
    const keys = this.#options.known.keys();
    if (!keys) return { ok: false, why: "this node has not received the public keys of the API yet" };
    const claims = this.#claimsOf(token, keys.keySet);
    if (!claims) return { ok: false, why: "this is no token of a service account that the API signed" };
    if (claims.issuer !== keys.issuer) return { ok: false, why: "the token is of another issuer" };
    if (!claims.audiences.some((one) => keys.audiences.includes(one)))
      return { ok: false, why: "the token is for another audience" };
    const why = this.#fault(claims);
    return why === undefined ? { ok: true, claims } : { ok: false, why };
  }

  /** Whether the account may, as far as the node received its rules. @param namespace empty: all, or none */
  mayAccess(
    { namespace: own, account }: AccountClaims,
    access: Access & { readonly namespace: string },
  ): boolean {
    const rules = this.#options.known.rules(own, account);
    if (!rules) return false;
    const everywhere = rules.get("") ?? [];
    const there = access.namespace === "" ? [] : (rules.get(access.namespace) ?? []);
    return isAllowed([...everywhere, ...there], access);
  }

  #claimsOf(token: string, keySet: unknown): AccountClaims | undefined {
    const known = this.#verified.get(token);
    if (known) return known;
    this.#keys ??= new TokenKeys(keySet);
    const claims = this.#keys.read(token);
    if (!claims) return undefined;
    if (this.#verified.size >= mostVerified) this.#verified.clear();
    this.#verified.set(token, claims);
    return claims;
  }

  /** Dates, and what the token is bound to. */
  #fault(claims: AccountClaims): string | undefined {
    const { clock, node } = this.#options;
    const { bound, notBefore, expires } = claims;
    const nowSeconds = clock.nowMs() / 1000;
    if (nowSeconds < notBefore - leewaySeconds) return "the token is not valid yet";
    const isOver = nowSeconds >= expires;
    if (bound?.kind === "pod") return this.#faultOfPod(claims, bound, isOver);
    if (bound?.kind === "secret") return "tokens of secrets are not accepted without the API";
    if (bound && bound.name !== node) return "the token is bound to another node";
    return isOver ? "the token has expired" : undefined;
  }

  #faultOfPod(
    { namespace, account, expires }: AccountClaims,
    bound: { readonly name: string; readonly uid: string },
    isOver: boolean,
  ): string | undefined {
    const { known, findPod } = this.#options;
    const pod = findPod(namespace, bound.name);
    const owner = asRecord(pod?.["spec"])?.["serviceAccountName"] || "default";
    if (!pod || pod.metadata.uid !== bound.uid || owner !== account)
      return "the pod that the token is bound to is not on this node";
    // Without a link it cannot be renewed: it is as good as when the link was lost, for as long as its pod is here.
    return isOver && expires * 1000 < known.lastOnlineMs() ? "the token has expired" : undefined;
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
