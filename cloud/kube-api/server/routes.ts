import { Hono, type Context, type MiddlewareHandler } from "hono";
import { admitConnection, type Policies, type Webhooks } from "#cloud/kube-api/admission";
import {
  attributesOf,
  authorize,
  authorizePath,
  ownUser,
  requesterOf,
  senderOf,
  userInfo,
  type AccessParts,
  type Credentials,
  type EscalationGuard,
  type ResourceAttributes,
  type User,
} from "#cloud/kube-api/auth";
import {
  closesConnection,
  withinLimits,
  type LimitParts,
  type OpenStream,
} from "#cloud/kube-api/flow-control";
import {
  answerText,
  isTrue,
  parseTarget,
  verbOf,
  type ExtraResource,
  type RequestFigure,
  type RequestTarget,
} from "#cloud/kube-api/http";
import type { KindRegistry } from "#cloud/kube-api/objects";
import type { KindInfo } from "#cloud/kube-api/schema";
import {
  answerAggregated,
  type AggregatedRequested,
  type Aggregation,
  type AnswerParts,
} from "#cloud/kube-api/server/aggregation";
import {
  answerCheck,
  answerHealth,
  discovery,
  documentAt,
  openApiIndex,
  Swagger,
  type HealthCheck,
} from "#cloud/kube-api/server/documents";
import type { Served } from "#cloud/kube-api/server/listening";
import { answerPodStream, type PodStreamParts } from "#cloud/kube-api/server/pod-streams";
import { answerProxy } from "#cloud/kube-api/server/proxy";
import { answerResource, subresourceOf, type ResourceParts } from "#cloud/kube-api/server/verbs";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { Readiness } from "#cloud/kube-api/store";
import { AppError } from "#shared/errors";
import { asText, type JsonObject } from "#shared/json";
import { note } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { expositionType } from "#shared/prometheus";
import type { UpgradeOffer } from "#shared/upgrades";
import { isPodStream, type PodStreamName } from "#shared/pod-requests";
import { findExtra, serveExtra } from "./extra-resources.ts";
import { writeGuard } from "./write-guard.ts";

export interface RouteParts extends ResourceParts, AccessParts, LimitParts, PodStreamParts, AnswerParts {
  readonly aggregation: Pick<Aggregation, "find" | "versions">;
  readonly escalation: EscalationGuard;
  /** Read with each request: modules add theirs while the server runs. */
  readonly extras: ReadonlySet<ExtraResource>;
  readonly registry: KindRegistry;
  readonly webhooks: Webhooks;
  readonly policies: Policies;
  readonly log: Logger;
  readonly readiness: Pick<Readiness, "problem">;
  /** Of the tokens of ServiceAccounts (OpenID Connect Discovery 1.0). */
  readonly issuer: { document(): JsonObject; keySet(): JsonObject };
  /** Called for each request that was answered. */
  readonly countRequest?: ((figure: RequestFigure) => void) | undefined;
  /** The text of `/metrics`. */
  readonly figures?: (() => string) | undefined;
  /** `host:port` as clients reach it */
  readonly serverAddress: () => string;
}

export interface ApiEnvironment {
  readonly Bindings: Served;
}

function shownBy({ headers }: Request, { peer }: Served): Credentials {
  return { headers, peer };
}

/** All routes of the API: who may use a path is decided first, then what it is. */
export function createRoutes(parts: RouteParts): Hono<ApiEnvironment> {
  const app = new Hono<ApiEnvironment>({ strict: false });
  app.onError((error, context) => answerError(parts, error, context.req.raw));
  if (parts.countRequest) app.use(counting(parts, parts.countRequest));
  app.use(async (context, next) => {
    const { pathname } = new URL(context.req.url);
    if (!parseTarget(pathname))
      authorizePath(
        parts,
        requesterOf(parts, shownBy(context.req.raw, context.env)),
        context.req.method,
        pathname,
      );
    await next();
  });
  const database = (): Promise<string | undefined> => parts.readiness.problem();
  const alive = new Map([["ping", () => undefined]]);
  const ready = new Map<string, HealthCheck>([...alive, ["database", database]]);
  // Probes ask for the name that it has in other clusters.
  const byName = new Map([...ready, ["etcd", database]]);
  for (const [path, checks] of [
    ["/healthz", alive],
    ["/livez", alive],
    ["/readyz", ready],
  ] as const) {
    app.get(path, ({ req }) => answerHealth(new URL(req.url), checks));
    app.get(
      `${path}/:check`,
      async ({ req }) => (await answerCheck(new URL(req.url), byName)) ?? pageNotFound(),
    );
  }
  const { figures } = parts;
  if (figures)
    app.get("/metrics", () => new Response(figures(), { headers: { "Content-Type": expositionType } }));
  app.get("/version", () => json(discovery.serverVersion));
  app.get("/openid/v1/jwks", () => answerWithType(parts.issuer.keySet(), "application/jwk-set+json"));
  app.get("/.well-known/openid-configuration", () =>
    answerWithType(parts.issuer.document(), "application/json"),
  );
  addDiscovery(app, parts);
  const serve = ({ req, env }: Context<ApiEnvironment>): Promise<Response> =>
    serveTarget(parts, req.raw, env);
  app.all("/api/*", serve);
  app.all("/apis/*", serve);
  app.all("/version", () => refused(refusals.methodNotAllowed()));
  app.notFound(() => pageNotFound());
  return app;
}

/** Names that are not served are not counted by name: strangers send any. */
function counting(
  { registry, extras, clock }: RouteParts,
  count: (figure: RequestFigure) => void,
): MiddlewareHandler<ApiEnvironment> {
  return async (context, next) => {
    const { req } = context;
    const beganMs = clock.monotonicMs();
    await next();
    const target = parseTarget(req.path);
    const { group = "", version = "", resource = "", subresource = "" } = target ?? {};
    const isServed =
      registry.find(group, version, resource) !== undefined ||
      [...extras].some((one) => one.group === group && one.resource === resource);
    const isWatch = req.method === "GET" && isTrue(req.query("watch") ?? "false");
    count({
      verb: (target && isServed ? verbOf(req.method, target, isWatch) : req.method)
        .toUpperCase()
        .slice(0, 16),
      ...(isServed
        ? { group, version, resource, subresource: subresource.slice(0, 16) }
        : { group: "", version: "", resource: "", subresource: "" }),
      code: context.res.status,
      seconds: (clock.monotonicMs() - beganMs) / 1000,
    });
  };
}

function addDiscovery(app: Hono<ApiEnvironment>, parts: RouteParts): void {
  const { registry, aggregation } = parts;
  const served = (): discovery.Served => ({ registry, aggregated: aggregation.versions() });
  app.get("/", () => json(discovery.rootPaths(served())));
  for (const root of ["api", "apis"] as const) {
    app.get(`/${root}`, (context) => {
      const version = discovery.aggregatedVersion(context.req.header("accept") ?? null);
      if (version !== undefined) {
        const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        return new Response(JSON.stringify(discovery.aggregated(served(), root, version)), {
          headers: { "Content-Type": type, Vary: "Accept" },
        });
      }
      return json(
        root === "api" ? discovery.coreVersions(parts.serverAddress()) : discovery.groupList(served()),
      );
    });
  }
  app.get("/apis/:group", (context) => {
    const group = discovery.oneGroup(served(), context.req.param("group"));
    return group ? json(group) : pageNotFound();
  });
  const answerOpenApi = (
    { req, env }: Context<ApiEnvironment>,
    answer: (open: OpenStream, user: User) => Response | Promise<Response>,
  ): Promise<Response> => {
    const user = requesterOf(parts, shownBy(req.raw, env));
    const asked = { request: req.raw, server: env, user, exempt: user === ownUser, verb: "get" };
    return withinLimits(parts, asked, (open) => answer(open, user));
  };
  const swagger = new Swagger(registry, asText(discovery.serverVersion["gitVersion"]));
  app.get("/openapi/v2", (context) =>
    answerOpenApi(context, (open) => swagger.answer(context.req.raw, open)),
  );
  app.get("/openapi/v3", () => json(openApiIndex(served())));
  app.get("/openapi/v3/*", (context) =>
    answerOpenApi(context, (open, user) => {
      const path = new URL(context.req.url).pathname.slice("/openapi/v3/".length);
      const document = documentAt(registry, path);
      if (document) return json(document, open);
      const [, group = "", version = ""] = /^apis\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
      const found = aggregation.find(group, version);
      const asked = { request: context.req.raw, path: `/openapi/v3/${path}`, user };
      return found ? answerAggregated(parts, found, asked) : pageNotFound();
    }),
  );
}

async function serveTarget(parts: RouteParts, request: Request, server: Served): Promise<Response> {
  const url = new URL(request.url);
  const target = parseTarget(url.pathname);
  if (!target) return pageNotFound();
  const { method } = request;
  const query = url.searchParams;
  const verb = verbOf(method, target, method === "GET" && isTrue(query.get("watch") ?? "false"));
  note(method, url.pathname);
  const shown = shownBy(request, server);
  const user = requesterOf(parts, shown);
  const { offer } = server;
  if (target.resource === "") return serveVersion(parts, target, { request, path: pathOf(request), user });
  // The server's own client is exempt from limits; impersonation does not return this very object.
  return withinLimits(parts, { request, server, user, exempt: user === ownUser, verb }, (open) => {
    const attributes = attributesOf(target, verb, query.get("fieldSelector"));
    authorize(parts, user, attributes);
    return serveResource(parts, { request, shown, target, query, verb, user, open, offer }, attributes);
  });
}

interface Asked {
  readonly request: Request;
  readonly shown: Credentials;
  readonly target: RequestTarget;
  readonly query: URLSearchParams;
  readonly verb: string;
  readonly user: User;
  readonly open: OpenStream;
  readonly offer: UpgradeOffer | undefined;
}

async function serveResource(
  parts: RouteParts,
  asked: Asked,
  attributes: ResourceAttributes,
): Promise<Response> {
  const { request, target, verb, query, user, open, offer } = asked;
  const aggregated = parts.aggregation.find(target.group, target.version);
  if (aggregated)
    return answerAggregated(parts, aggregated, { request, path: pathOf(request), user, verb, offer });
  refuseMethod(request, target);
  const extra = findExtra(parts, target, verb);
  if (extra) return serveExtra(extra, { target, query, open, signal: request.signal });
  await parts.store.settled();
  const kind = parts.registry.find(target.group, target.version, target.resource);
  if (!kind) {
    const known = parts.registry.version(
      target.group === "" ? target.version : `${target.group}/${target.version}`,
    );
    if (!known) return pageNotFound();
    throw refusals.unknownResource();
  }
  if (isMisplaced(kind, target)) throw refusals.unknownResource();
  const connected = connectToPod(parts, asked, kind);
  if (connected) return connected;
  const warnings: string[] = [];
  const guard = writeGuard(parts, user, attributes);
  const response = await answerResource(parts, { ...asked, kind, guard, warnings });
  for (const text of warnings.slice(0, 20)) {
    response.headers.append("Warning", `299 - "${printable(text).replaceAll(/["\\]/g, String.raw`\$&`)}"`);
  }
  return response;
}

/** kube-apiserver has no HEAD, but servers behind its proxy do; its paths of watches are read only. @throws Refusal */
function refuseMethod({ method }: Request, target: RequestTarget): void {
  const isServed = target.watching ? method === "GET" : method !== "HEAD" || isProxied(target);
  if (!isServed) throw refusals.methodNotAllowed();
}

function isMisplaced({ namespaced }: KindInfo, { namespace, watching, subresource }: RequestTarget): boolean {
  return (!namespaced && namespace !== "") || (watching && subresource !== "");
}

/** What a pod answers; undefined for what the API answers itself. */
function connectToPod(parts: RouteParts, asked: Asked, kind: KindInfo): Promise<Response> | undefined {
  const { subresource } = asked.target;
  const isStream = kind.plural === "pods" && kind.group === "" && isPodStream(subresource);
  return isStream || isProxied(asked.target) ? answerPod(parts, asked, kind) : undefined;
}

async function answerPod(parts: RouteParts, asked: Asked, kind: KindInfo): Promise<Response> {
  const { request, target, user, verb, query } = asked;
  const { subresource, namespace, name, proxyPath: path } = target;
  // A server behind the proxy may have that method too; RBAC has no verb for it.
  const isOptions = isProxied(target) && verb === "options";
  if (!isOptions && subresourceOf(kind, subresource)?.verbs.includes(verb) !== true)
    throw refusals.methodNotAllowed();
  const author = userInfo(user);
  await admitConnection(parts, { kind, subresource, namespace, name, query, path, author });
  if (isPodStream(subresource)) return servePodStream(parts, asked, { kind, subresource });
  return answerProxy(parts, { request, target, user });
}

/** A node has no server for it: kubelet's port is not there. */
function isProxied({ group, resource, subresource }: RequestTarget): boolean {
  return group === "" && subresource === "proxy" && (resource === "pods" || resource === "services");
}

async function servePodStream(
  parts: RouteParts,
  { request, shown, query, user, offer, target }: Asked,
  { kind, subresource }: { readonly kind: KindInfo; readonly subresource: PodStreamName },
): Promise<Response> {
  const { namespace, name } = target;
  const pod = parts.objects.read({ kind, namespace, name });
  const sender = senderOf(parts, shown);
  const by = sender.name === user.name ? undefined : sender.name;
  return answerPodStream(parts, { subresource, pod, request, query, user, by, offer });
}

function pathOf(request: Request): string {
  const { pathname, search } = new URL(request.url);
  return pathname + search;
}

function serveVersion(
  parts: RouteParts,
  target: RequestTarget,
  asked: AggregatedRequested,
): Response | Promise<Response> {
  const apiVersion = target.group === "" ? target.version : `${target.group}/${target.version}`;
  const path = target.group === "" ? `/api/${apiVersion}` : `/apis/${apiVersion}`;
  authorizePath(parts, asked.user, "GET", path);
  const served = parts.registry.version(apiVersion);
  if (served) {
    if (!["GET", "HEAD"].includes(asked.request.method)) throw refusals.methodNotAllowed();
    return json(discovery.resourceList(served));
  }
  const aggregated = parts.aggregation.find(target.group, target.version);
  return aggregated ? answerAggregated(parts, aggregated, asked) : pageNotFound();
}

function answerError(parts: RouteParts, error: unknown, request: Request): Response {
  const response = errorResponse(parts, error, request);
  if (closesConnection(request, error)) response.headers.set("Connection", "close");
  return response;
}

function errorResponse(parts: RouteParts, error: unknown, request: Request): Response {
  if (error instanceof Refusal) return refused(error);
  if (error instanceof AppError && error.code === "store-failed") {
    parts.log.error("cannot store a change", { error });
    return refused(refusals.serviceUnavailable(error.message));
  }
  parts.log.error("cannot answer a request", {
    error,
    method: request.method,
    path: new URL(request.url).pathname,
  });
  return refused(refusals.internalError("see the log of the server"));
}

function refused(refusal: Refusal): Response {
  const response = answerText(JSON.stringify(refusal.status), false, refusal.httpStatus);
  const after = refusal.status.details?.retryAfterSeconds;
  if (after !== undefined) response.headers.set("Retry-After", String(after));
  return response;
}

function json(body: JsonObject, open?: OpenStream): Response {
  return answerText(JSON.stringify(body), false, 200, open);
}

/** As verifiers expect it: they may keep it for an hour. */
function answerWithType(body: JsonObject, type: string): Response {
  return new Response(JSON.stringify(body), {
    headers: { "Content-Type": type, "Cache-Control": "public, max-age=3600" },
  });
}

function pageNotFound(): Response {
  return new Response("404 page not found\n", {
    status: 404,
    headers: { "Content-Type": "text/plain; charset=utf-8" },
  });
}

function printable(text: string): string {
  return text.replaceAll(/[^\u0020-\u007e]/g, " ").slice(0, 1000);
}
