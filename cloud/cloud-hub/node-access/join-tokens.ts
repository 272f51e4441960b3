import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { ignoreMissing, isKubeError, resources, type KubeClient } from "#cloud/kube-client";
import { UnavailableError } from "#shared/errors";
import type { Secret } from "#shared/kube";
import { accessNamespace } from "./node-record.ts";
import { createWithNamespace } from "./record-store.ts";

/** On the Secret of every join token. */
export const tokenLabel = "kubeedge.io/join-token";
const tokenType = "kubeedge.io/join-token";
const prefix = "join-token-";
/** Attempts to count a use while other nodes join with the same token. */
const tries = 20;

/** One certificate that a token was good for. */
export interface TokenUse {
  readonly node: string;
  /** hex SHA-256 of the public key it was issued for */
  readonly key: string;
  readonly at: string;
}

/** A join token on record; the token itself is kept nowhere. */
export interface JoinToken {
  readonly id: string;
  /** hex SHA-256 of the JWT */
  readonly hash: string;
  readonly expires: string;
  /** how many certificates it is good for in all */
  readonly uses: number;
  /** the only node it is for */
  readonly node?: string | undefined;
  readonly description: string;
  readonly created: string;
  readonly used: readonly TokenUse[];
}

export type Spent =
  | { readonly kind: "spent" | "repeated"; readonly token: JoinToken }
  | { readonly kind: "unknown" }
  /** `bySame`: the node that asks has used it already, with another key */
  | { readonly kind: "used-up"; readonly bySame: boolean }
  | { readonly kind: "other-node"; readonly node: string };

/** A new id; it is no secret. */
export function newTokenId(): string {
  const letters = "abcdefghijkmnpqrstuvwxyz23456789";
  return [...randomBytes(10)].map((byte) => letters[byte % letters.length]).join("");
}

export function hashOfJwt(jwt: string): string {
  return createHash("sha256").update(jwt).digest("hex");
}

/** Join tokens in the API, one Secret each, shared by every cloudcore that works on it. */
export class JoinTokens {
  readonly #kube: KubeClient;

  constructor(kube: KubeClient) {
    this.#kube = kube;
  }

  async create(token: JoinToken): Promise<void> {
    await createWithNamespace(this.#kube, () => this.#kube.create(resources.secrets, writeToken(token)));
  }

  async list(): Promise<readonly JoinToken[]> {
    const { items } = await this.#kube.list<Secret>(resources.secrets, {
      namespace: accessNamespace,
      labelSelector: tokenLabel,
    });
    return items.flatMap((secret) => readToken(secret) ?? []);
  }

  /** @returns false when there is no such token */
  async revoke(id: string): Promise<boolean> {
    const found = await this.#kube.find<Secret>(resources.secrets, secretOf(id));
    if (!found || !readToken(found)) return false;
    await ignoreMissing(this.#kube.remove(resources.secrets, secretOf(id)));
    return true;
  }

  /** What `spend` would answer, without spending: a refusal must cost nothing. */
  async look(presented: PresentedToken, use: Pick<TokenUse, "node">): Promise<Spent> {
    const found = await this.#find(presented);
    return found ? judgeUse(found.token, use.node, undefined) : { kind: "unknown" };
  }

  /**
   * Counts a use before anything is issued on it, so that a crash wastes one at worst. The same node and key are counted once.
   * @throws UnavailableError after too many conflicts
   */
  async spend(presented: PresentedToken, use: TokenUse): Promise<Spent> {
    for (let attempt = 0; attempt < tries; attempt += 1) {
      const found = await this.#find(presented);
      if (!found) return { kind: "unknown" };
      const verdict = judgeUse(found.token, use.node, use.key);
      if (verdict.kind !== "spent") return verdict;
      const next = { ...found.token, used: [...found.token.used, use] };
      if (await this.#replace(next, found.version)) return { kind: "spent", token: next };
    }
    throw new UnavailableError(
      "token-busy",
      `Cannot count a use of join token ${presented.id}: it keeps changing`,
    );
  }

  async #find({
    id,
    jwt,
  }: PresentedToken): Promise<{ token: JoinToken; version: string | undefined } | undefined> {
    const secret = isTokenId(id) ? await this.#kube.find<Secret>(resources.secrets, secretOf(id)) : undefined;
    const token = secret && readToken(secret);
    if (!token || !isSame(token.hash, hashOfJwt(jwt))) return undefined;
    return { token, version: secret.metadata.resourceVersion };
  }

  async #replace(token: JoinToken, version: string | undefined): Promise<boolean> {
    try {
      await this.#kube.replace(resources.secrets, writeToken(token, version));
      return true;
    } catch (error) {
      if (isKubeError(error, 404, 409)) return false;
      throw error;
    }
  }
}

/** The part of a token that a node shows, and the id in it. */
export interface PresentedToken {
  readonly id: string;
  readonly jwt: string;
}

function secretOf(id: string): { namespace: string; name: string } {
  return { namespace: accessNamespace, name: `${prefix}${id}` };
}

export function isTokenId(id: string): boolean {
  return /^[a-z0-9]{1,32}$/.test(id);
}

/** `key` undefined: it is not known yet whether this is a repetition. */
export function judgeUse(token: JoinToken, node: string, key: string | undefined): Spent {
  if (token.node !== undefined && token.node !== node) return { kind: "other-node", node: token.node };
  const before = token.used.filter((use) => use.node === node);
  if (before.some((use) => use.key === key)) return { kind: "repeated", token };
  if (token.used.length < token.uses || (key === undefined && before.length > 0))
    return { kind: "spent", token };
  return { kind: "used-up", bySame: before.length > 0 };
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function writeToken(token: JoinToken, version?: string): Secret {
  const { id, hash, expires, uses, node, description, created, used } = token;
  const data = {
    hash,
    expires,
    uses: String(uses),
    description,
    created,
    used: JSON.stringify(used),
    ...(node !== undefined && { node }),
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    type: tokenType,
    metadata: {
      name: `${prefix}${id}`,
      namespace: accessNamespace,
      labels: { [tokenLabel]: "" },
      ...(version !== undefined && { resourceVersion: version }),
    },
    data: Object.fromEntries(
      Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")]),
    ),
  };
}

/** @returns undefined when it is no join token, or damaged: then no node joins with it */
export function readToken({ metadata, type, data = {} }: Secret): JoinToken | undefined {
  const { name = "" } = metadata;
  if (type !== tokenType || !name.startsWith(prefix)) return undefined;
  const text = (key: string): string => Buffer.from(data[key] ?? "", "base64").toString();
  const uses = Number(text("uses"));
  const used = readUses(text("used"));
  const expires = text("expires");
  if (!Number.isSafeInteger(uses) || !used || Number.isNaN(Date.parse(expires))) return undefined;
  const node = text("node");
  return {
    id: name.slice(prefix.length),
    hash: text("hash"),
    expires,
    uses,
    node: node === "" ? undefined : node,
    description: text("description"),
    created: text("created"),
    used,
  };
}

function readUses(text: string): readonly TokenUse[] | undefined {
  try {
    // Written by cloudcore alone; users who may write these Secrets can reset uses anyway (docs/security.md).
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? (value as readonly TokenUse[]) : undefined;
  } catch {
    return undefined;
  }
}
