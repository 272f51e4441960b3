import { existsSync } from "node:fs";
import { join } from "node:path";
import { startAdoption } from "#cloud/commands/adopt";
import { ensureCertificates, readPem, type CloudCertificates } from "#cloud/cloud-hub/certificates";
import { startCloudHub, type CloudHub } from "#cloud/cloud-hub";
import { startControllers } from "#cloud/controllers";
import { startDeviceController, type LostStatuses } from "#cloud/device-controller";
import { startEdgeController, type KubeletAddress } from "#cloud/edge-controller";
import { startApiProxy } from "#cloud/edge-controller/api-proxy";
import { startCloudStream, type StreamPems } from "#cloud/cloud-hub/stream-port";
import { clusterCaOf, createKubeClient, type KubeClient, type KubeOptions } from "#cloud/kube-client";
import { startRouter, type EntryPems } from "#cloud/router";
import { startSyncController } from "#cloud/sync-controller";
import { startTelemetry } from "#cloud/telemetry";
import { CloudFigures, startUsage } from "#cloud/usage";
import { Bus, type Port } from "#shared/bus";
import type { ProcessDeps } from "#shared/cli";
import type { CloudConfig, KubeAccess } from "#shared/config";
import { budgetOfProcess, type ConnectionBudget } from "#shared/connections";
import { running, type Running } from "#shared/lifecycle";
import type { ApiServer } from "#cloud/kube-api/server";
import type { CloudCatalog } from "#shared/topics";
import { startEmbedded, type Embedded } from "./embedded.ts";

/** Starts every module of cloudcore: those that answer before those that ask, and nodes may connect last. */
export async function startCloudcore(config: CloudConfig, deps: ProcessDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const { clock } = deps;
  const { dataDir } = config;
  const log = (module: string) => deps.log.child({ module });
  const loadCertificates = certificatesOf(config, deps);
  const certificates = await loadCertificates();
  const connections = budgetOfProcess(clock);
  const figures = new CloudFigures(clock);
  const embedded =
    config.embedded &&
    (await startEmbedded(config.embedded, config.dataDir, { ...deps, connections, figures }));
  if (embedded) stack.use(embedded.api);
  const access = embedded?.access ?? accessOf(config.kube);
  const kube = stack.use(await createKubeClient(access, { clock, log: log("kubeclient") }));
  if (embedded) stack.use(await controlEmbedded(embedded, { kube, clock, log: log("controllers") }));
  const bus = stack.use(
    new Bus<CloudCatalog>({
      onMessage: figures.countMessage,
      onFailure: (topic, module, error) => deps.log.error("a subscriber failed", { topic, module, error }),
    }),
  );
  stack.use(figures.follow(bus.port("figures")));
  const sync = { port: bus.port("synccontroller"), kube, clock, log: log("synccontroller") } as const;
  stack.use(await startSyncController(sync));
  const edge = { port: bus.port("edgecontroller"), kube, clock, log: log("edgecontroller") } as const;
  const devices = config.deviceController.enabled;
  stack.use(await startEdgeController({ ...edge, devices, kubelet: kubeletAddressOf(config) }));
  const proxied = { access, enabled: config.cloudHub.nodeApi, port: bus.port("apiproxy") } as const;
  stack.use(await startApiProxy({ ...proxied, clock, log: log("apiproxy") }));
  const deviceDeps = { bus, kube, clock, log: log("devicecontroller"), figures };
  if (devices) stack.use(await startDevices(config, deviceDeps, embedded?.api.lostStatuses));
  const telemetry = stack.use(
    await startTelemetry(
      { ...config.telemetry, dataDir, devices },
      { port: bus.port("telemetry"), clock, log: log("telemetry"), connections, figures: figures.text },
    ),
  );
  if (embedded) stack.use(embedded.api.serve(telemetry.apiEndpoints));
  if (embedded) stack.use(await serveMetrics(embedded.api, { bus, kube, clock, log: log("usage") }));
  const { database } = stack.use(
    await startAdoption({ port: bus.port("adoption"), kube, clock, log: log("adoption") }),
  );
  const rules = config.router !== undefined;
  const shared = { bus, kube, connections, loadCertificates, access };
  if (rules) stack.use(await startRules(config, deps, shared));
  const hubDeps = { kube, clock, log: log("cloudhub"), certificates, connections };
  const hub = stack.use(
    await startCloudHub(
      { ...config.cloudHub, database, devices, rules },
      { ...hubDeps, port: bus.port("cloudhub") },
    ),
  );
  stack.use(embedded ? reachNodes(embedded.api, bus) : await startStreamPort(config, deps, shared));
  stack.use(deps.onReload(() => hub.reload(loadCertificates())));
  reportPorts(deps, hub, telemetry.port);
  return running("cloudcore", stack.move());
}

function reportPorts({ reportPort }: ProcessDeps, hub: CloudHub, telemetry: number | undefined): void {
  const { port: cloudhub, httpsPort, tunnelPort } = hub;
  const ports = { telemetry, cloudhub, "cloudhub-https": httpsPort, "cloudstream-tunnel": tunnelPort };
  for (const [name, port] of Object.entries(ports)) if (port !== undefined) reportPort(name, port);
}

interface RulesDeps {
  readonly bus: Bus<CloudCatalog>;
  readonly kube: KubeClient;
  readonly connections: ConnectionBudget;
  readonly loadCertificates: () => Promise<CloudCertificates>;
}

/** The controllers that another cluster would have of its own. */
function controlEmbedded(
  { api, caPem, clientAuthority: authority }: Embedded,
  deps: Omit<ModuleDeps, "bus">,
): Promise<Running> {
  const signing = { authority, beforeIssue: (untilMs: number) => api.askForCertificates(untilMs) };
  return startControllers({ ...deps, caPem, signing });
}

/** Logs of pods, exec and the like, over the links of their nodes. */
function reachNodes(api: ApiServer, bus: Bus<CloudCatalog>): Disposable {
  const port: Port<CloudCatalog, never, "stream.open", never, never> = bus.port("apiserver");
  return api.reachNodes((node, head) => port.ask("stream.open", { node, head }));
}

/** metrics.k8s.io in the embedded API. */
async function serveMetrics(api: ApiServer, { bus, kube, clock, log }: ModuleDeps): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const usage = stack.use(await startUsage({ port: bus.port("usage"), kube, clock, log }));
  stack.use(api.serve(usage.apiEndpoints));
  return stack.move();
}

function kubeletAddressOf({ streamPort }: CloudConfig): KubeletAddress | undefined {
  const { nodeAddress: address, port = 0 } = streamPort ?? {};
  return address === undefined ? undefined : { address, port };
}

/** Where the API server of an existing cluster reaches nodes, once it is known whose certificates it may be asked with. */
async function startStreamPort(
  { streamPort: config }: CloudConfig,
  { clock, log: parent, reportPort, onReload }: ProcessDeps,
  { bus, kube, connections, loadCertificates, access }: RulesDeps & { readonly access: KubeOptions },
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const log = parent.child({ module: "cloudstream" });
  if (!config) return stack.move();
  const { address, port, caFile, certFile, keyFile } = config;
  const pems = async (): Promise<StreamPems | undefined> => {
    const ca = caFile === undefined ? await clusterCaOf(access) : readPem(caFile);
    if (ca === undefined) return undefined;
    if (certFile !== undefined && keyFile !== undefined)
      return { ca, cert: readPem(certFile), key: readPem(keyFile) };
    const { serverCert, serverKey } = await loadCertificates();
    return { ca, cert: serverCert, key: serverKey };
  };
  const first = await pems();
  if (!first) {
    log.warn(
      "the API server cannot reach nodes: no CA for its client certificate, see cloudstream.stream-ca",
    );
    return stack.move();
  }
  const parts = { port: bus.port("cloudstream"), kube, clock, log, connections } as const;
  const stream = stack.use(await startCloudStream({ address, port, pems: first }, parts));
  reportPort("cloudstream", stream.listensAt);
  stack.use(
    onReload(async () => {
      const next = await pems();
      if (next) stream.renew(next);
    }),
  );
  return stack.move();
}

/** The router, with the certificate that nodes know cloudcore by. */
async function startRules(
  { router: config, dataDir }: CloudConfig,
  { clock, log, reportPort, onReload }: ProcessDeps,
  { bus, kube, connections, loadCertificates }: RulesDeps,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  if (!config) return stack.move();
  const pems = async (): Promise<EntryPems> => {
    const { serverCert, serverKey } = await loadCertificates();
    return { cert: serverCert, key: serverKey };
  };
  const parts = {
    port: bus.port("router"),
    kube,
    clock,
    log: log.child({ module: "router" }),
    connections,
    reportPort: (port: number) => reportPort("router", port),
  } as const;
  const router = stack.use(await startRouter({ ...config, dataDir }, { ...parts, pems: await pems() }));
  stack.use(onReload(async () => router.renew(await pems())));
  return stack.move();
}

/** The device controller, with a client of its own where its API is configured apart. */
async function startDevices(
  { deviceController, kube: shared }: CloudConfig,
  { bus, kube, clock, log, figures }: ModuleDeps & { readonly figures: CloudFigures },
  lostStatuses: LostStatuses | undefined,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const isApart = deviceController.kube !== shared;
  const client = isApart
    ? stack.use(await createKubeClient(accessOf(deviceController.kube), { clock, log }))
    : kube;
  const port = bus.port("devicecontroller");
  const lost = isApart ? undefined : lostStatuses;
  const parts = { port, kube: client, clock, log, ...(lost && { lostStatuses: lost }) };
  const controller = stack.use(await startDeviceController(deviceController, parts));
  figures.watchStatuses(controller.figures);
  return stack.move();
}

interface ModuleDeps extends Pick<ProcessDeps, "clock" | "log"> {
  readonly bus: Bus<CloudCatalog>;
  readonly kube: KubeClient;
}

function certificatesOf(
  { cloudHub, dataDir }: CloudConfig,
  { clock }: ProcessDeps,
): () => Promise<CloudCertificates> {
  const established = existsSync(join(dataDir, "cloudcore.db"));
  return () => ensureCertificates({ ...cloudHub, dataDir, established, nowMs: clock.nowMs() });
}

function accessOf(kube: KubeAccess): KubeOptions {
  if (kube.kubeconfig !== undefined) return { from: "kubeconfig", path: kube.kubeconfig };
  return kube.master === undefined ? { from: "in-cluster" } : { from: "master", url: kube.master };
}
