import type { KubeClient } from "#cloud/kube-client";
import { hashOfJwt, JoinTokens, newTokenId } from "#cloud/cloud-hub/node-access";
import { createToken, splitToken, type Authority } from "#shared/pki";

export interface TokenWish {
  readonly node?: string;
  readonly uses?: number;
  readonly expiresMs?: number;
}

export interface MadeToken {
  readonly id: string;
  /** what goes into `Authorization: Bearer` */
  readonly jwt: string;
  readonly text: string;
}

/** A join token as `cloudcore token create` makes one. */
export async function makeJoinToken(
  kube: KubeClient,
  authority: Pick<Authority, "fingerprint" | "keyPem">,
  { node, uses = 1, expiresMs = Date.now() + 3_600_000 }: TokenWish = {},
): Promise<MadeToken> {
  const id = newTokenId();
  const text = createToken(authority, expiresMs, id);
  const jwt = splitToken(text)?.jwt ?? "";
  await new JoinTokens(kube).create({
    id,
    hash: hashOfJwt(jwt),
    expires: new Date(expiresMs).toISOString(),
    uses,
    node,
    description: "",
    created: new Date().toISOString(),
    used: [],
  });
  return { id, jwt, text };
}
