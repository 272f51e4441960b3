import type { Clock } from "#shared/clock";
import { asError, ClosedError, describeError, quote, UnavailableError } from "#shared/errors";
import { failureResponse } from "#shared/kube";
import { isOwnHost, isOwnOrigin } from "#shared/local-http";
import { RateLimitedLog, type Logger } from "#shared/log";
import type { AccountClaims, Caller, LocalAccess } from "#edge/meta-server/access";
import {
  nodeVersion,
  parseTarget,
  RequestRefusal,
  refuse,
  type DeviceWrites,
  type LocalAnswers,
  type LocalRequest,
  type WriteRequest,
} from "#edge/meta-server/answers";
import type { CloudApi } from "#edge/meta-server/cloud";
import { isNodeVersion } from "#edge/meta-server/objects";
import { podRequestTarget, type PodApiRequest, type PodRequests } from "#edge/meta-server/pods";
import type { UpgradeOffer } from "#shared/upgrades";
import { forward } from "./forwarding.ts";

export interface NodeApiOptions {
  readonly access: LocalAccess;
  readonly local: LocalAnswers;
  readonly writes: DeviceWrites;
  readonly api: CloudApi;
  readonly pods: PodRequests;
  /** Whether there is a link to the cloud that this node belongs to. */
  readonly isOnline: () => boolean;
  /** Names and addresses that requests may be sent to, besides the loopback. */
  readonly hosts: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** How a request came: over TLS, or to the port without TLS and authentication. */
export type Entrance = "open" | "tls";

/** A caller whom the node itself answers. */
type LocalCaller = Caller | { readonly kind: "open" };
type LocalRights = Omit<LocalRequest, "accept" | "url"> &
  Pick<WriteRequest, "refuseOther"> &
  Pick<PodApiRequest, "who">;

/** Where an answer comes from. */
const sourceHeader = "kubeedge-source";

/** The Kubernetes API on a node: the cloud's when there is a link, what the node has otherwise. */
export class NodeApi {
  readonly #options: NodeApiOptions;
  readonly #log: RateLimitedLog;

  constructor(options: NodeApiOptions) {
    this.#options = options;
    this.#log = new RateLimitedLog(options.log, options.clock);
  }

  /** Never rejects. */
  async answer(request: Request, entrance: Entrance = "tls", offer?: UpgradeOffer): Promise<Response> {
    try {
      return await this.#answer(request, entrance, offer);
    } catch (error) {
      if (error instanceof RequestRefusal) return fromNode(error.response());
      this.#log.warn("cannot answer a request", { error: describeError(error) }, "failed");
      const message = `Internal error occurred: ${asError(error).message}`;
      return fromNode(failureResponse({ code: 500, reason: "InternalError", message }));
    }
  }

  async #answer(request: Request, entrance: Entrance, offer?: UpgradeOffer): Promise<Response> {
    this.#guard(request, entrance === "open" ? [] : this.#options.hosts());
    const url = new URL(request.url);
    const path = url.pathname + url.search;
    const { pathname } = url;
    if (/^\/(?:healthz|livez|readyz)(?:\/|$)/.test(pathname)) return fromNode(new Response("ok"));
    if (pathname === "/version") return fromNode(Response.json(nodeVersion));
    const caller = this.#options.access.callerOf(request.headers.get("authorization"));
    if (caller.kind === "anonymous") return this.#fromAnyone(request, url, entrance);
    const isCloud = caller.kind === "bearer" && this.#options.isOnline();
    const target = podRequestTarget(parseTarget(pathname));
    if (target && !(isCloud && target.subresource === "log"))
      return fromNode(await this.#aboutPod({ target, request, query: url.searchParams, offer }, caller));
    const answer = isCloud ? await this.#fromCloud(request, path) : undefined;
    return answer ?? fromNode(await this.#fromNode(request, url, caller));
  }

  /** @throws RequestRefusal where callers have to be known */
  async #fromAnyone(request: Request, url: URL, entrance: Entrance): Promise<Response> {
    if (entrance === "open") return fromNode(await this.#fromNode(request, url, { kind: "open" }));
    throw refuse.unauthorized(
      "expected a bearer token: of a service account, of the API, or this node's own",
    );
  }

  /** A page in a browser on this node does not use it, neither by another name for this machine nor across origins. */
  #guard({ headers }: Request, hosts: readonly string[]): void {
    const host = headers.get("host") ?? "";
    if (!isOwnHost(host, hosts))
      throw refuse.forbidden(`host ${quote(host.slice(0, 200))} is not served here`);
    const origin = headers.get("origin");
    const site = headers.get("sec-fetch-site");
    if (origin !== null && !isOwnOrigin(origin, hosts))
      throw refuse.forbidden(`origin ${quote(origin.slice(0, 200))} may not ask here`);
    if (site !== null && site !== "same-origin" && site !== "none")
      throw refuse.forbidden("a request that a web page of others makes is refused");
  }

  /** @returns undefined for a read that the node answers instead */
  async #fromCloud(request: Request, path: string): Promise<Response | undefined> {
    const isRead = request.method === "GET" || request.method === "HEAD";
    const version = new URL(request.url).searchParams.get("resourceVersion") ?? "";
    if (isRead && isNodeVersion(version)) throw refuse.expired(version);
    try {
      const response = await forward(this.#options.api, request, path);
      response.headers.set(sourceHeader, "cloud");
      return response;
    } catch (error) {
      if (!(error instanceof UnavailableError) && !(error instanceof ClosedError)) throw error;
      request.signal.throwIfAborted();
      if (isRead) return undefined;
      const why = describeError(error);
      throw refuse.unavailable(
        `the cloud cannot be reached, whether the change was made is not known: ${why}`,
      );
    }
  }

  async #fromNode(request: Request, url: URL, caller: LocalCaller): Promise<Response> {
    const { local, writes } = this.#options;
    const { refuseOther, who: _who, ...rights } = this.#rightsOf(caller);
    if (request.method === "GET" || request.method === "HEAD")
      return local.answer({ url, accept: request.headers.get("accept"), ...rights });
    try {
      return await writes.answer({ request, url, authorize: rights.authorize, refuseOther });
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      throw refuse.unavailable(error.message);
    }
  }

  /** Processes and ports of pods of this node are always its own to serve; a log while the cloud does not answer. */
  #aboutPod(asked: Omit<PodApiRequest, "authorize" | "who">, caller: LocalCaller): Promise<Response> {
    const { authorize, who } = this.#rightsOf(caller);
    return this.#options.pods.answer({ ...asked, authorize, who });
  }

  /** @throws RequestRefusal for a token that is not valid here */
  #rightsOf(caller: LocalCaller): LocalRights {
    if (caller.kind !== "bearer") return caller.kind === "open" ? openRights : operatorRights;
    const { access } = this.#options;
    const verdict = access.verify(caller.token);
    if (!verdict.ok)
      throw refuse.unauthorized(`the cloud cannot be asked about the token, and ${verdict.why}`);
    const { claims } = verdict;
    return {
      who: accountOf(claims),
      authorize: (wanted) => {
        const { verb, resource, namespace } = wanted;
        if (access.mayAccess(claims, wanted)) return;
        const where = namespace === "" ? "" : ` in the namespace ${quote(namespace)}`;
        throw refuse.forbidden(
          `${nameOf(claims)} cannot ${verb} ${quote(resource)}${where} as far as this node knows while the cloud is away`,
        );
      },
      refuseOther: (what) =>
        refuse.unavailable(
          `the cloud cannot be reached from this node, and changes are made there: only desired values of Devices can be set here, not ${what}`,
        ),
      mayStay: () => access.verify(caller.token).ok,
      endsOnline: true,
    };
  }
}

/** Users who may read the file with the token may read the database as well. */
const operatorRights: LocalRights = {
  who: "operator of the node",
  authorize: () => undefined,
  refuseOther: (what) =>
    refuse.forbidden(
      `the node itself only shows what it has and sets desired values of its Devices: use a token of the API (kubectl --token) to change ${what}`,
    ),
  mayStay: () => true,
  endsOnline: false,
};

/** Every user of this machine. */
const openRights: LocalRights = {
  ...operatorRights,
  authorize: ({ resource }) => {
    if (resource.startsWith("pods/"))
      throw refuse.forbidden(`${resource} is not served without a token, only on the port with TLS`);
    if (resource.split("/")[0] === "secrets")
      throw refuse.forbidden("secrets are not served without a token, only on the port with TLS");
  },
};

function nameOf(claims: AccountClaims): string {
  return `User ${quote(accountOf(claims))}`;
}

function accountOf({ namespace, account }: AccountClaims): string {
  return `system:serviceaccount:${namespace}:${account}`;
}

function fromNode(response: Response): Response {
  response.headers.set(sourceHeader, "node");
  response.headers.set("X-Content-Type-Options", "nosniff");
  if (!response.headers.has("Cache-Control")) response.headers.set("Cache-Control", "no-cache, private");
  return response;
}
