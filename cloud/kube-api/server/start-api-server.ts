import { Policies, QuotaLedger, systemClasses, Webhooks } from "#cloud/kube-api/admission";
import { join } from "node:path";
import {
  accessOf,
  Authenticator,
  Authorizer,
  EscalationGuard,
  RbacCopy,
  TokenSigner,
  writeKubeconfig,
} from "#cloud/kube-api/auth";
import { signingKeys } from "#cloud/kube-api/auth/tokens";
import { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import {
  FanOut,
  flowControlObjects,
  InFlight,
  startLevelReferences,
  StreamPool,
} from "#cloud/kube-api/flow-control";
import type { ExtraResource } from "#cloud/kube-api/http";
import type { ReachPod } from "#cloud/kube-api/http/service-calls";
import { KindRegistry, ObjectService, ServiceAddresses, startCrdCleaner } from "#cloud/kube-api/objects";
import { parseKubeObject, type KindInfo } from "#cloud/kube-api/schema";
import { Aggregation } from "#cloud/kube-api/server/aggregation";
import { openPorts, type HttpHandler } from "#cloud/kube-api/server/listening";
import { NodeStreams, PodBridges } from "#cloud/kube-api/server/pod-streams";
import { Readiness, RevisionStore } from "#cloud/kube-api/store";
import type { JsonObject } from "#shared/json";
import type { KubeObject } from "#shared/kube";
import { running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { ApiServer, ApiServerConfig, ApiServerDeps } from "./api-server.ts";
import {
  ensureDefaultRoles,
  ensureMasterService,
  ensureNamespaces,
  ensureObjects,
  ensurePresent,
  forgetOldEvents,
  type InstallParts,
} from "./installed-objects.ts";
import { createRoutes } from "./routes.ts";

const issuer = "https://kubernetes.default.svc.cluster.local";
/** Often enough that each compaction deletes a few thousand rows at most. */
const compactEveryMs = 30_000;
/** A crash takes what was reported since, which is reported again then; each time costs a row for each device that reported. */
const storeVolatileEveryMs = 120_000;
/** Some minutes of a busy cluster: a watch that was interrupted continues without a new list. */
const defaultHistoryRevisions = 10_000;

/** Opens the database and listens. @throws ConfigError when the database, certificate or port cannot be used */
export async function startApiServer(config: ApiServerConfig, deps: ApiServerDeps): Promise<ApiServer> {
  await using stack = new AsyncDisposableStack();
  const { clock, log } = deps;
  const parts = openObjects(config, deps, stack);
  const { store, registry, objects, nodeStreams, reach } = parts;
  const install = { objects, registry, store };
  await installObjects(install, log);
  stack.use(await startLevelReferences({ ...install, clock, log }));
  const extras = new Set<ExtraResource>();
  const streams = stack.use(new StreamPool({ clock, log, ...config.streams }));
  const identity = config.proxyIdentity;
  const aggregation = stack.use(new Aggregation({ store, registry, objects, clock, log, identity, reach }));
  const app = wireRoutes({ config, deps, ...parts, extras, streams, aggregation });
  const fetch: HttpHandler = (request, server) => app.routes.fetch(request, server);
  const { authenticator } = app;
  const ports = stack.use(await openPorts(config, { ...deps, store, fetch, authenticator }));
  const host = config.address.includes(":") ? `[${config.address}]` : config.address;
  app.address = `${config.address}:${ports.port}`;
  const url = `https://${host}:${ports.port}`;
  log.info("Kubernetes API is served", { url });
  return {
    ...running("apiserver", stack.move()),
    url,
    port: ports.port,
    socket: ports.socket,
    answer: async (request) => fetch(request, unconnected),
    ensureObjects: (all: readonly KubeObject[]) => ensureObjects(install, all),
    publishAddress: (ip: string) => ensureMasterService(install, { ip, port: ports.port }, log),
    ensurePresent: (all: readonly KubeObject[]) => ensurePresent(install, all),
    serve: (resources) => {
      for (const one of resources) extras.add(one);
      return { [Symbol.dispose]: () => resources.forEach((one) => extras.delete(one)) };
    },
    reachNodes: (open) => nodeStreams.use(open),
    askForCertificates: (untilMs) => ports.askForCertificates(untilMs),
    compact: () => store.compact(),
    lostStatuses: store.lostStatuses,
    writeKubeconfig: (file) =>
      writeKubeconfig(file, { server: url, caPem: config.tls.caPem, token: config.adminToken }),
  };
}

/** Without a connection there is none to close. */
const unconnected = { timeout: () => undefined };

async function installObjects(install: InstallParts, log: Logger): Promise<void> {
  await forgetOldEvents(install.store);
  await ensureNamespaces(install);
  await ensurePresent(install, [...systemClasses, ...flowControlObjects]);
  await ensureDefaultRoles(install, log);
}

/** Who is asked about writes besides the rules of their kinds. */
function openGates(
  stack: AsyncDisposableStack,
  {
    registry,
    authorizer,
    ...parts
  }: Pick<ObjectParts, "store" | "registry" | "conversions" | "authorizer" | "reach"> & {
    readonly log: Logger;
  },
): Pick<ObjectParts, "webhooks" | "policies"> {
  const versionsOf = (kind: KindInfo): KindInfo[] => registry.sharing(kind);
  const webhooks = stack.use(new Webhooks({ ...parts, versionsOf }));
  const policies = new Policies({
    ...parts,
    versionsOf,
    findKind: (apiVersion, kind) => registry.findKind(apiVersion, kind),
    access: (author) => accessOf(authorizer, author),
  });
  return { webhooks, policies: stack.use(policies) };
}

interface ObjectParts {
  readonly store: RevisionStore;
  readonly registry: KindRegistry;
  readonly objects: ObjectService;
  readonly webhooks: Webhooks;
  readonly policies: Policies;
  readonly conversions: Conversions;
  readonly roles: RbacCopy;
  readonly authorizer: Authorizer;
  readonly nodeStreams: NodeStreams;
  readonly reach: ReachPod;
}

/** The database, and what reads and writes objects in it. */
function openObjects(
  config: ApiServerConfig,
  { clock, log }: ApiServerDeps,
  stack: AsyncDisposableStack,
): ObjectParts {
  const { admit, dataDir } = config;
  const store = stack.use(openStore(config, log));
  const registry = stack.use(new KindRegistry(store));
  const addresses = stack.use(new ServiceAddresses(store, clock));
  const quotas = stack.use(new QuotaLedger(store, log));
  const roles = stack.use(new RbacCopy(store));
  const authorizer = new Authorizer(roles);
  const nodeStreams = new NodeStreams(clock);
  const bridges = stack.use(new PodBridges(dataDir, nodeStreams));
  const reach: ReachPod = (pod, address) => bridges.reach(pod, address);
  const conversions = new Conversions({ store, clock, reach });
  const gates = openGates(stack, { store, registry, conversions, authorizer, reach, log });
  const parts = { store, registry, addresses, quotas, ...gates, conversions, clock };
  const objects = new ObjectService({ ...parts, ...(admit && { admit }) });
  stack.use(startCrdCleaner({ store, registry, objects, clock, log }));
  stack.use(clock.every(compactEveryMs, () => compact(store, log)));
  stack.use(clock.every(storeVolatileEveryMs, () => storeVolatile(store, log)));
  return { store, registry, objects, ...gates, conversions, roles, authorizer, nodeStreams, reach };
}

interface Wiring extends ObjectParts {
  readonly config: ApiServerConfig;
  readonly deps: ApiServerDeps;
  readonly extras: ReadonlySet<ExtraResource>;
  readonly streams: StreamPool;
  readonly aggregation: Aggregation;
}

interface Wired {
  readonly routes: ReturnType<typeof createRoutes>;
  readonly authenticator: Authenticator;
  /** `host:port`, known once the server listens. */
  address: string;
}

function wireRoutes(wiring: Wiring): Wired {
  const { config, deps, store, registry, objects, webhooks, extras, streams, roles, nodeStreams } = wiring;
  const { aggregation, reach } = wiring;
  const { clock, log, countRequest, figures } = deps;
  const { conversions, policies, authorizer } = wiring;
  const signer = new TokenSigner(...signingKeys(store));
  const find = (resource: string, namespace: string, name: string): KubeObject | undefined => {
    const text = store.get(resource, `${namespace}/${name}`);
    return text === undefined ? undefined : parseKubeObject(text);
  };
  const { adminToken, ownToken } = config;
  const authenticator = new Authenticator({
    adminToken,
    ...(ownToken !== undefined && { ownToken }),
    signer,
    clock,
    audience: issuer,
    find,
  });
  const wired = { address: "" };
  const routes = createRoutes({
    store,
    objects,
    registry,
    extras,
    authenticator,
    authorizer,
    escalation: new EscalationGuard(authorizer, roles),
    clock,
    log,
    countRequest,
    figures,
    conversions,
    subresources: { objects, conversions, store, signer, clock, issuer },
    reviews: { authenticator, authorizer, nowMs: () => clock.nowMs() },
    readiness: new Readiness({ store, path: pathOf(config), clock, log }),
    issuer: {
      document: () => issuerDocument(wired.address),
      keySet: () => signer.keySet(),
    },
    aggregation,
    identity: config.proxyIdentity,
    reach,
    serverAddress: () => wired.address,
    streams,
    nodeStreams,
    webhooks,
    policies,
    fanOut: new FanOut(),
    inFlight: new InFlight(),
  });
  return Object.assign(wired, { routes, authenticator });
}

/** Where verifiers of tokens find the keys (`OpenIDMetadata` of kube-apiserver). */
function issuerDocument(address: string): JsonObject {
  return {
    issuer,
    jwks_uri: `https://${address}/openid/v1/jwks`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
  };
}

function pathOf({ databasePath, dataDir }: ApiServerConfig): string {
  return databasePath ?? join(dataDir, "cloudcore.db");
}

function openStore(config: ApiServerConfig, log: Logger): RevisionStore {
  return new RevisionStore({
    path: pathOf(config),
    keyFile: config.keyFile,
    log,
    historyRevisions: config.historyRevisions ?? defaultHistoryRevisions,
    onError: (error) => log.error("background work of the store failed", { error }),
  });
}

function storeVolatile(store: RevisionStore, log: Logger): void {
  store
    .storeVolatile()
    .catch((error: unknown) => log.warn("cannot store what devices reported, retrying", { error }));
}

function compact(store: RevisionStore, log: Logger): void {
  store.compact().catch((error: unknown) => log.warn("cannot compact the history", { error }));
}
