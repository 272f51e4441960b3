import type { Clock } from "#shared/clock";
import { AppError, ClosedError, describeError, ProtocolError, UnavailableError } from "#shared/errors";
import { asRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { TokenOfPodAnswer, TokenOfPodRequest } from "#shared/topics";
import type { CloudApi } from "#edge/meta-server/cloud";
import type { KnownAccess } from "./known-access.ts";
import { readRules, type ResourceRule } from "./rules.ts";
import { readOwnToken } from "./web-token.ts";

export interface AccessSyncOptions {
  readonly api: CloudApi;
  readonly askToken: (request: TokenOfPodRequest) => Promise<TokenOfPodAnswer>;
  readonly pods: () => readonly KubeObject[];
  /** Namespaces of which the node has objects. */
  readonly namespaces: () => readonly string[];
  readonly known: KnownAccess;
  readonly onKeys: () => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Pods come together. */
const settleMs = 2000;
/** As long as a change of a role may go unnoticed when the link is lost right then. */
const repeatMs = 600_000;
const retryMs = 30_000;
/** The shortest that kube-apiserver gives. */
const tokenSeconds = 600;
/** No namespace has this name, so that what is allowed in it is allowed everywhere, or without a namespace. */
const noNamespace = "-";
/** Namespaces asked about for one account: a node has pods of a few. */
const mostNamespaces = 64;

/** Whether a pod has a token for the API in one of its volumes: others cannot use it, and the cloud gives none for them. */
function hasApiToken(pod: KubeObject): boolean {
  const volumes = listOf(asRecord(pod["spec"])?.["volumes"]);
  const sources = volumes.flatMap((volume) => listOf(asRecord(asRecord(volume)?.["projected"])?.["sources"]));
  return sources
    .map((source) => asRecord(asRecord(source)?.["serviceAccountToken"]))
    .some((token) => token !== undefined && (token["audience"] ?? "") === "");
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

interface Account {
  readonly namespace: string;
  readonly name: string;
  readonly pod: KubeObject;
}

/**
 * While there is a link, asks the API what the service accounts of this node's pods may do, and for the public keys of its
 * tokens; with tokens of these very accounts, so that no right is needed that they do not have.
 */
export class AccessSync implements AsyncDisposable {
  readonly #options: AccessSyncOptions;
  #online = false;
  #timer: Disposable | undefined;
  #running: Promise<void> | undefined;
  readonly #stop = new AbortController();

  constructor(options: AccessSyncOptions) {
    this.#options = options;
  }

  linkChanged(online: boolean): void {
    if (this.#online && !online) this.#options.known.putOnline(this.#options.clock.nowMs());
    this.#online = online;
    if (online) this.#plan(0);
    else this.#timer?.[Symbol.dispose]();
  }

  /** A pod came, changed or was removed. */
  podsChanged(): void {
    if (this.#online) this.#plan(settleMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new ClosedError("the API on the node ends"));
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  #plan(waitMs: number): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#stop.signal.aborted) return;
    this.#timer = this.#options.clock.after(waitMs, () => {
      this.#running = (this.#running ?? Promise.resolve()).then(() => this.#run());
    });
  }

  async #run(): Promise<void> {
    if (!this.#online || this.#stop.signal.aborted) return;
    const { known, clock } = this.#options;
    let nextMs = repeatMs;
    const accounts = this.#accounts();
    known.keepRulesOf(new Set(accounts.keys()));
    for (const [account, one] of accounts) {
      if (!this.#online || this.#stop.signal.aborted) return;
      try {
        await this.#sync(one);
        known.putOnline(clock.nowMs());
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        this.#logFailure(account, error);
        // KubeEdge's cloudcore has no streams, and will not have any soon.
        if (!(error instanceof AppError && error.code === "no-streams")) nextMs = retryMs;
      }
    }
    if (this.#online) this.#plan(nextMs);
  }

  #logFailure(account: string, error: unknown): void {
    const level = error instanceof UnavailableError || error instanceof ClosedError ? "debug" : "warn";
    const fields = { account, error: describeError(error) };
    this.#options.log[level]("cannot ask what a service account may do", fields);
  }

  #accounts(): Map<string, Account> {
    const found = new Map<string, Account>();
    for (const pod of this.#options.pods()) {
      const { namespace = "" } = pod.metadata;
      const given = asRecord(pod["spec"])?.["serviceAccountName"];
      const name = typeof given === "string" && given !== "" ? given : "default";
      if (pod.metadata.deletionTimestamp === undefined && hasApiToken(pod))
        found.set(`${namespace}/${name}`, { namespace, name, pod });
    }
    return found;
  }

  async #sync({ namespace, name, pod }: Account): Promise<void> {
    const { api, known, onKeys, namespaces } = this.#options;
    const token = await this.#token({ namespace, name, pod });
    const claims = readOwnToken(token);
    if (!claims) throw new ProtocolError("bad-token", "the cloud gave no token of a service account");
    const { signal } = this.#stop;
    const keySet = await api.json({ token, method: "GET", path: "/openid/v1/jwks", signal });
    const { issuer, audiences } = claims;
    if (known.putKeys({ issuer, audiences, keySet })) onKeys();
    const rules = new Map<string, ResourceRule[]>();
    const asked = [noNamespace, ...new Set([namespace, ...namespaces()])].slice(0, mostNamespaces);
    for (const one of asked) rules.set(one === noNamespace ? "" : one, await this.#rules(token, one));
    known.putRules(namespace, name, rules);
  }

  async #token({ namespace, name, pod }: Account): Promise<string> {
    const answer = await this.#options.askToken({
      namespace,
      serviceAccount: name,
      pod: { name: pod.metadata.name, uid: pod.metadata.uid },
      expirationSeconds: tokenSeconds,
      timeoutMs: 10_000,
    });
    if ("refusal" in answer) throw new AppError("no-token", answer.refusal);
    return answer.token;
  }

  async #rules(token: string, namespace: string): Promise<ResourceRule[]> {
    const review = {
      apiVersion: "authorization.k8s.io/v1",
      kind: "SelfSubjectRulesReview",
      spec: { namespace },
    };
    const path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    const { signal } = this.#stop;
    const answer = await this.#options.api.json({ token, method: "POST", path, object: review, signal });
    return readRules(asRecord(asRecord(answer)?.["status"])?.["resourceRules"]);
  }
}
