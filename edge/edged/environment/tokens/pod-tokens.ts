import { AppError, UnavailableError } from "#shared/errors";
import { objectKey, type Pod } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { TokenOfPodAnswer, TokenOfPodRequest } from "#shared/topics";

/** A token for a volume of a pod. */
export interface TokenRequest {
  readonly volume: string;
  readonly path: string;
  readonly audience?: string;
  readonly expirationSeconds?: number;
}

export interface PodTokens {
  /** by `tokenKey` */
  readonly tokens: ReadonlyMap<string, string>;
  /** when the first of them has to be renewed, or a missing one requested again */
  readonly renewMs: number;
}

export interface TokenDeps {
  readonly ask: (request: TokenOfPodRequest) => Promise<TokenOfPodAnswer>;
  readonly log: Pick<Logger, "debug" | "warn">;
}

/**
 * A pod does not wait longer for a token: it starts without one and gets it when the cloud answers. Without a link it does not
 * wait at all. A cloud that starts a hundred pods at once takes some seconds for them.
 */
const answerMs = 15_000;
/** When a token that is missing is requested again. */
const retryMs = 10_000;
/** Kubernetes' default of expirationSeconds. */
const usualSeconds = 3600;
/** kubelet's token_manager renews tokens that live longer each day (maxTTL). */
const longestRenewMs = 86_400_000;
/** A cloud whose tokens expire at once is not asked without end. */
const shortestRenewMs = 10_000;

/** Volumes of a pod may have files of one path, for different audiences. */
export function tokenKey(volume: string, path: string): string {
  return `${volume}/${path}`;
}

/**
 * Requests tokens from the cloud, as KubeEdge does; one that is not available now is missing in the result. The cloud may
 * grant a shorter lifetime. Tokens are renewed after four fifths of it and each day, as kubelet's token_manager does.
 */
export async function requestTokens(
  pod: Pod,
  wanted: readonly TokenRequest[],
  { ask, log }: TokenDeps,
): Promise<PodTokens> {
  const tokens = new Map<string, string>();
  let renewMs = longestRenewMs;
  for (const one of wanted) {
    try {
      const answer = await ask(requestFor(pod, one));
      if ("refusal" in answer) throw new AppError("no-token", `Failed to fetch token: ${answer.refusal}`);
      const { token, expirationSeconds: seconds = one.expirationSeconds ?? usualSeconds } = answer;
      tokens.set(tokenKey(one.volume, one.path), token);
      renewMs = Math.min(renewMs, Math.max(shortestRenewMs, seconds * 800));
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const level = error instanceof UnavailableError ? "debug" : "warn";
      log[level]("cannot get the token of a volume", { pod: objectKey(pod), volume: one.volume, error });
      renewMs = Math.min(renewMs, retryMs);
    }
  }
  return { tokens, renewMs };
}

function requestFor(
  { metadata, spec }: Pod,
  { audience, expirationSeconds = usualSeconds }: TokenRequest,
): TokenOfPodRequest {
  return {
    namespace: metadata.namespace ?? "",
    serviceAccount: spec.serviceAccountName || "default",
    pod: { name: metadata.name, uid: metadata.uid },
    audience,
    expirationSeconds,
    timeoutMs: answerMs,
  };
}
