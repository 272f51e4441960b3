import { join } from "node:path";
import {
  anonymous,
  Authenticator,
  Authorizer,
  defaultGrants,
  EscalationGuard,
  RbacCopy,
  reconcileDefault,
  TokenSigner,
  writeKubeconfig,
} from "#cloud/kube-api/auth";
import { apiVersionOf, type JsonObject } from "#cloud/kube-api/kinds";
import { metadataOf, Refusal } from "#cloud/kube-api/rules";
import { Readiness, RevisionStore } from "#cloud/kube-api/store";
import { InFlight, SharedLines, StreamPool, type ServedBy } from "#cloud/kube-api/flow-control";
import type { ExtraResource } from "#cloud/kube-api/wire";
import type { Clock } from "#shared/clock";
import {
  budgetOfProcess,
  type ConnectionBudget,
  headerOf,
  openEntrance,
  openFilesLimit,
  socketPath,
  type Entrance,
} from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";
import type { KubeObject } from "#shared/kube";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { startCrdCleaner } from "./crd-cleaner.ts";
import { KindRegistry, resourceOf } from "./kind-registry.ts";
import { ObjectService, type Admission } from "./object-service.ts";
import { createRoutes } from "./routes.ts";
import { ServiceAddresses } from "./service-addresses.ts";

export interface ApiServerConfig {
  readonly address: string;
  /** 0 for any free port */
  readonly port: number;
  readonly dataDir: string;
  /** `<dataDir>/cloudcore.db` unless told; ":memory:" for tests */
  readonly databasePath?: string;
  /** Where the keys are that encrypt Secrets; without one they are not encrypted. */
  readonly keyFile?: string;
  readonly tls: { readonly certPem: string; readonly keyPem: string; readonly caPem: string };
  readonly adminToken: string;
  /** Of the process's own client, whose requests wait for nobody's. */
  readonly ownToken?: string;
  /** How many revisions stay followable; 10,000 unless told. */
  readonly historyRevisions?: number;
  /** Bounds on what slow readers hold, other than the usual. */
  readonly streams?: { readonly limitBytes?: number; readonly stallMs?: number };
  /** Asked of every object whose spec is new, after its schema; the causes it gives refuse it (422 Invalid). */
  readonly admit?: Admission;
}

export interface ApiServerDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** Places for connections, shared with the other servers of the process; of its own unless given. */
  readonly connections?: ConnectionBudget;
}

export interface ApiServer extends Running {
  readonly url: string;
  readonly port: number;
  /** Where this process itself reaches it, without TLS and without a place for its connections. */
  readonly socket: string;
  /** Writes the administrator's kubeconfig (mode 0600). */
  writeKubeconfig(path: string): void;
  /** Creates or changes objects so that they are as given, in order; CustomResourceDefinitions are served at once. */
  ensureObjects(objects: readonly KubeObject[]): Promise<void>;
  /** Serves further resources, answered by others, until disposed. */
  serve(resources: readonly ExtraResource[]): Disposable;
  /** Forgets history past `historyRevisions` now; it happens by itself every half minute. */
  compact(): Promise<void>;
}

const issuer = "https://kubernetes.default.svc.cluster.local";
const compactEveryMs = 30_000;
const firstNamespaces = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** Opens the database and listens. @throws ConfigError when the database, certificate or port cannot be used */
export async function startApiServer(config: ApiServerConfig, deps: ApiServerDeps): Promise<ApiServer> {
  await using stack = new AsyncDisposableStack();
  const { clock, log } = deps;
  const store = stack.use(openStore(config, log));
  const registry = stack.use(new KindRegistry(store));
  const addresses = stack.use(new ServiceAddresses(store, clock));
  const objects = new ObjectService({
    store,
    registry,
    addresses,
    clock,
    ...(config.admit && { admit: config.admit }),
  });
  stack.use(startCrdCleaner({ store, registry, objects, clock, log }));
  stack.use(clock.every(compactEveryMs, () => compact(store, log)));
  const ensure = (all: readonly KubeObject[]): Promise<void> =>
    ensureObjects({ objects, registry, store }, all);
  await ensure(firstNamespaces.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } })));
  await ensureGrants(store, ensure, log);
  const extras = new Set<ExtraResource>();
  const streams = stack.use(new StreamPool({ clock, log, ...config.streams }));
  const roles = stack.use(new RbacCopy(store));
  const app = wireRoutes({ config, deps, store, registry, objects, extras, streams, roles });
  const { path } = stack.use(socketPath(config.dataDir, "api.sock"));
  const fetch: Handler = (request, server) => app.routes.fetch(request, server);
  const own = serveOn({ unix: path }, fetch);
  stack.defer(() => own.stop(true));
  const entrance = stack.use(
    listen(config, { ...deps, behind: path, fetch, authenticator: app.authenticator }),
  );
  app.address = `${config.address}:${entrance.port}`;
  const url = `https://${config.address.includes(":") ? `[${config.address}]` : config.address}:${entrance.port}`;
  log.info("Kubernetes API is served", { url });
  return {
    ...running("apiserver", stack.move()),
    url,
    port: entrance.port,
    socket: path,
    ensureObjects: ensure,
    serve: (resources) => {
      for (const one of resources) extras.add(one);
      return { [Symbol.dispose]: () => resources.forEach((one) => extras.delete(one)) };
    },
    compact: () => store.compact(),
    writeKubeconfig: (path) =>
      writeKubeconfig(path, { server: url, caPem: config.tls.caPem, token: config.adminToken }),
  };
}

interface Wiring {
  readonly config: ApiServerConfig;
  readonly deps: ApiServerDeps;
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly extras: ReadonlySet<ExtraResource>;
  readonly streams: StreamPool;
  readonly roles: RbacCopy;
}

interface Wired {
  readonly routes: ReturnType<typeof createRoutes>;
  readonly authenticator: Authenticator;
  address: string;
}

function wireRoutes({ config, deps, store, registry, objects, extras, streams, roles }: Wiring): Wired {
  const { clock, log } = deps;
  const signer = new TokenSigner(...signingKeys(store));
  const find = (resource: string, namespace: string, name: string): KubeObject | undefined =>
    parse(store.get(resource, `${namespace}/${name}`));
  const { adminToken, ownToken } = config;
  const authenticator = new Authenticator({
    adminToken,
    ...(ownToken !== undefined && { ownToken }),
    signer,
    clock,
    audience: issuer,
    find,
  });
  const authorizer = new Authorizer(roles);
  const escalation = new EscalationGuard(authorizer, roles);
  const wired = { address: "" };
  const routes = createRoutes({
    store,
    objects,
    registry,
    extras,
    authenticator,
    authorizer,
    escalation,
    clock,
    log,
    subresources: { objects, store, signer, clock, issuer },
    reviews: { authenticator, authorizer, nowMs: () => clock.nowMs() },
    readiness: new Readiness({ store, path: pathOf(config), clock, log }),
    keySet: () => signer.keySet(),
    serverAddress: () => wired.address,
    streams,
    sharedLines: new SharedLines(),
    inFlight: new InFlight(),
  });
  return Object.assign(wired, { routes, authenticator });
}

function pathOf({ databasePath, dataDir }: ApiServerConfig): string {
  return databasePath ?? join(dataDir, "cloudcore.db");
}

function openStore(config: ApiServerConfig, log: Logger): RevisionStore {
  return new RevisionStore({
    path: pathOf(config),
    keyFile: config.keyFile,
    log,
    historyRevisions: config.historyRevisions ?? 10_000,
    onError: (error) => log.error("The store could not do what nobody waits for", { error }),
  });
}

/** Of one user; kubectl and client-go take a few. */
const mostConnections = 1000;

type Handler = (request: Request, server: ServedBy) => Response | Promise<Response>;

type At =
  | { readonly unix: string }
  | { readonly hostname: string; readonly port: number; readonly tls: { cert: string; key: string } };

function serveOn(at: At, fetch: Handler): Bun.Server<undefined> {
  const options = {
    idleTimeout: 0,
    maxRequestBodySize: 8 * 1024 * 1024,
    development: false,
    ...at,
    fetch: ((request, server) =>
      URL.canParse(request.url)
        ? fetch(request, server)
        : new Response("400 Bad Request\n", { status: 400 })) satisfies Handler,
  };
  // The types know no idle time of Unix sockets.
  return Bun.serve(options as unknown as Bun.Serve.Options<undefined>);
}

interface Listening extends ApiServerDeps {
  readonly behind: string;
  readonly fetch: Handler;
  readonly authenticator: Authenticator;
}

function listen(config: ApiServerConfig, { behind, fetch, authenticator, ...deps }: Listening): Entrance {
  const { clock, log } = deps;
  const { address, tls } = config;
  const openFiles = openFilesLimit();
  const cert = { cert: tls.certPem, key: tls.keyPem };
  try {
    return openEntrance({
      address,
      port: config.port,
      tls: cert,
      behind,
      budget: deps.connections ?? budgetOfProcess(clock),
      openFiles,
      clock,
      log,
      serveDirectly: (port) => serveOn({ hostname: address, port, tls: cert }, fetch),
      identify: (head) => identityOf(authenticator, head),
    });
  } catch (error) {
    const text = `Cannot serve the Kubernetes API on ${address}:${config.port}: ${asError(error).message}`;
    throw new ConfigError("api-listen-failed", text, { cause: error });
  }
}

/** Whose first request that is the head of. */
function identityOf(authenticator: Authenticator, head: string): { who: string; most: number } | undefined {
  const user = authenticator.identify(headerOf(head, "authorization"));
  if (!user || user === anonymous) return undefined;
  return {
    who: `user ${user.name}`,
    most: user.groups.includes("system:masters") ? Infinity : mostConnections,
  };
}

function compact(store: RevisionStore, log: Logger): void {
  store.compact().catch((error: unknown) => log.warn("Cannot compact the history", { error }));
}

const keySetting = "service-account-key";
/** The public half of the key that signed tokens before those of nodes were bound and limited; empty without one. */
const retiredSetting = "service-account-key-retired";

/** A database of before gets a new key once; what a crash leaves half done is done again. */
function signingKeys(store: RevisionStore): readonly [key: string, retired: string] {
  const kept = store.setting(keySetting);
  const former = kept === undefined ? "" : TokenSigner.publicKeyOf(kept);
  const retired = store.setting(retiredSetting);
  if (kept !== undefined && retired !== undefined && retired !== former) return [kept, retired];
  const made = TokenSigner.newKey();
  store.saveSetting(retiredSetting, former);
  store.saveSetting(keySetting, made);
  return [made, former];
}

function parse(text: string | undefined): KubeObject | undefined {
  return text === undefined ? undefined : (JSON.parse(text) as KubeObject);
}

type Ensuring = Pick<Wiring, "objects" | "registry" | "store">;

async function ensureObjects(
  { objects, registry, store }: Ensuring,
  all: readonly KubeObject[],
): Promise<void> {
  for (const object of all) {
    const { apiVersion = "", kind: kindName = "", metadata } = object;
    const kind = registry.findKind(apiVersion, kindName);
    if (!kind)
      throw new ConfigError(
        "unknown-kind",
        `Cannot install ${kindName} "${metadata.name}": no such kind in ${apiVersion}`,
      );
    const namespace = kind.namespaced ? (metadata.namespace ?? "default") : "";
    const name = metadata.name ?? "";
    const options = {
      dryRun: false,
      validation: "Warn",
      manager: "cloudcore",
      force: true,
      warn: () => undefined,
    } as const;
    const body = structuredClone(object) as unknown as JsonObject;
    try {
      if (store.find(resourceOf(kind), `${namespace}/${name}`) === undefined) {
        await objects.create({ kind, namespace, name: "" }, body, options);
      } else {
        const patch = { type: "merge", body: withoutStatus(body) } as const;
        await objects.patch({ kind, namespace, name }, patch, { ...options, via: "" });
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const text = `Cannot install ${apiVersionOf(kind)} ${kindName} "${name}": ${error.message}`;
      throw new ConfigError("manifest-refused", text, { cause: error });
    }
  }
}

/** In one commit; what cannot be stored now is there at the next start. */
async function ensureGrants(
  store: RevisionStore,
  ensure: (all: readonly KubeObject[]) => Promise<void>,
  log: Logger,
): Promise<void> {
  const missing = defaultGrants.flatMap((wanted) => {
    const { kind, metadata } = wanted;
    const plural = kind === "ClusterRole" ? "clusterroles" : "clusterrolebindings";
    const stored = parse(store.get(`rbac.authorization.k8s.io/${plural}`, `/${metadata.name}`));
    const next = reconcileDefault(wanted, stored);
    if (next === "not ours")
      log.info("default role has the name of another, which stays as it is", { kind, name: metadata.name });
    return next === undefined || next === "not ours" ? [] : [next];
  });
  try {
    await Promise.all(missing.map((one) => ensure([one])));
  } catch (error) {
    log.error("cannot store the default roles", { error });
  }
}

function withoutStatus(body: JsonObject): JsonObject {
  const { status: _status, ...rest } = body;
  const { creationTimestamp: _created, ...metadata } = metadataOf(rest);
  return { ...rest, metadata };
}
