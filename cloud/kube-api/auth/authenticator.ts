import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "#shared/clock";
import type { JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { TokenClaims, TokenSigner } from "#cloud/kube-api/auth/tokens";

export interface User {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
  /** When the credential expires; watches that were opened with it end then too. */
  readonly expiresMs?: number;
}

/** What a connection shows by a client certificate. */
export interface Peer {
  /** The same for connections that show the same. */
  readonly id: string;
  /** "untrusted": the certificate proves nothing. */
  readonly user: User | "untrusted";
}

/** A user as authentication.k8s.io UserInfo. */
export function userInfo(user: User): JsonObject {
  const extra = Object.entries(user.extra ?? {}).map(([key, values]) => [key, [...values]]);
  return {
    username: user.name,
    ...(user.uid !== undefined && { uid: user.uid }),
    groups: [...user.groups],
    ...(extra.length > 0 && { extra: Object.fromEntries(extra) as JsonObject }),
  };
}

export const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };

const admin: User = { name: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] };

/** The server's own client, as kube-apiserver names it. */
export const ownUser: User = {
  name: "system:apiserver",
  groups: ["system:masters", "system:authenticated"],
};

export interface AuthenticatorOptions {
  readonly adminToken: string;
  /** Of the server's own client, for as long as the process lives. */
  readonly ownToken?: string;
  readonly signer: TokenSigner;
  readonly clock: Pick<Clock, "nowMs">;
  /** The audience of this server, which is the issuer of its tokens too. */
  readonly audience: string;
  /** A live object a token is bound to, undefined when it is gone. */
  readonly find: (resource: string, namespace: string, name: string) => KubeObject | undefined;
}

/** The user of a token, and the requested audiences that it is valid for. */
export interface Identified {
  readonly user: User;
  readonly audiences: readonly string[];
}

/** An object that is being deleted may use its token this much longer, as upstream (jwt.DefaultLeeway). */
const leewayMs = 60_000;

/** Tokens whose claims are kept: those of the pods of a large cluster; past it the cache starts again. */
const mostKnownTokens = 1000;
/** Clocks may differ by this much. */
const earlySeconds = 60;

/** Authenticates client certificates and bearer tokens. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #adminDigest: Buffer;
  readonly #ownDigest: Buffer | undefined;
  /** Claims of tokens whose signature was verified; dates and bound objects are checked each time. */
  readonly #known = new Map<string, TokenClaims>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    this.#adminDigest = digest(options.adminToken);
    this.#ownDigest = options.ownToken === undefined ? undefined : digest(options.ownToken);
  }

  /**
   * Undefined: the credential is invalid. Without a credential it is the anonymous user. As in kube-apiserver a certificate comes
   * before a token, and one that is not valid is a credential that failed, unless the token is valid.
   */
  identify(authorization: string | null | undefined, peer?: Peer): User | undefined {
    const user = peer?.user;
    if (user !== undefined && user !== "untrusted" && this.#isCurrent(user)) return user;
    const [, token] = /^bearer\s+(\S+)\s*$/i.exec(authorization ?? "") ?? [];
    if (token !== undefined) return this.userOf(token)?.user;
    return user === undefined ? anonymous : undefined;
  }

  #isCurrent({ expiresMs = Infinity }: User): boolean {
    return this.#options.clock.nowMs() < expiresMs;
  }

  /** The user of a token that is valid for one of `audiences`, by default for this server. */
  userOf(token: string, audiences: readonly string[] = []): Identified | undefined {
    const wanted = audiences.length > 0 ? audiences : [this.#options.audience];
    const fixed = this.#fixedUser(token);
    const claims = fixed ? undefined : this.#liveClaimsOf(token);
    const user = fixed ?? (claims && toUser(claims));
    if (!user) return undefined;
    const good = wanted.filter((one) => (claims?.aud ?? [this.#options.audience]).includes(one));
    return good.length > 0 ? { user, audiences: good } : undefined;
  }

  /** Users whose token is a fixed secret. */
  #fixedUser(token: string): User | undefined {
    const given = digest(token);
    if (timingSafeEqual(given, this.#adminDigest)) return admin;
    return this.#ownDigest && timingSafeEqual(given, this.#ownDigest) ? ownUser : undefined;
  }

  #liveClaimsOf(token: string): TokenClaims | undefined {
    const claims = this.#claimsOf(token);
    if (!claims) return undefined;
    const nowSeconds = this.#options.clock.nowMs() / 1000;
    if (nowSeconds >= claims.exp || nowSeconds < claims.nbf - earlySeconds) return undefined;
    return this.#isBoundToLive(claims) ? claims : undefined;
  }

  #claimsOf(token: string): TokenClaims | undefined {
    const known = this.#known.get(token);
    if (known) return known;
    const claims = this.#options.signer.read(token);
    if (!claims) return undefined;
    if (this.#known.size >= mostKnownTokens) this.#known.clear();
    this.#known.set(token, claims);
    return claims;
  }

  #isBoundToLive(claims: TokenClaims): boolean {
    const { namespace, serviceaccount, pod, secret, node } = claims["kubernetes.io"];
    const live = (
      resource: string,
      bound: { name: string; uid: string } | undefined,
      inside = namespace,
    ): boolean =>
      bound === undefined || this.#isLive(this.#options.find(resource, inside, bound.name), bound.uid);
    return (
      live("/serviceaccounts", serviceaccount) &&
      live("/pods", pod) &&
      live("/secrets", secret) &&
      // Of a token bound to a pod the node is only information.
      (pod !== undefined || live("/nodes", node, ""))
    );
  }

  #isLive(object: KubeObject | undefined, uid: string): boolean {
    if (object?.metadata.uid !== uid) return false;
    const { deletionTimestamp } = object.metadata;
    if (deletionTimestamp === undefined) return true;
    return Date.parse(deletionTimestamp) >= this.#options.clock.nowMs() - leewayMs;
  }
}

/** Of a service account, besides the one of all authenticated users. */
export function groupsOfAccount(namespace: string): string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`];
}

function toUser(claims: TokenClaims): User {
  const { namespace, serviceaccount, pod, node } = claims["kubernetes.io"];
  return {
    name: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
    uid: serviceaccount.uid,
    expiresMs: claims.exp * 1000,
    groups: [...groupsOfAccount(namespace), "system:authenticated"],
    extra: {
      "authentication.kubernetes.io/credential-id": [`JTI=${claims.jti}`],
      ...(pod && {
        "authentication.kubernetes.io/pod-name": [pod.name],
        "authentication.kubernetes.io/pod-uid": [pod.uid],
      }),
      ...(node && {
        "authentication.kubernetes.io/node-name": [node.name],
        "authentication.kubernetes.io/node-uid": [node.uid],
      }),
    },
  };
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
