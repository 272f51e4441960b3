import { refuseReload } from "#edge/commands/check";
import { startDeviceTwin, type DeviceTwin } from "#edge/device-twin";
import { startDeviceRules, type DeviceRules, type DeviceRulesParts } from "#edge/device-twin/values/rules";
import { startDmi, type DmiParts } from "#edge/device-twin/dmi";
import { startOwnMappers } from "#edge/device-twin/dmi/own-mappers";
import { startDrivers } from "#edge/drivers";
import { startEdged, type Edged, type EdgedSettings } from "#edge/edged";
import { startEdgeHub } from "#edge/edge-hub";
import { EdgeFigures } from "#edge/meta-manager/figures";
import { startEventBus } from "#edge/mqtt/event-bus";
import { startMetaManager } from "#edge/meta-manager";
import { refuseServices, startServiceBus, type ServiceBusParts } from "#edge/service-bus";
import type { DeviceRecord } from "#edge/edged/node/device-plugins";
import { loadPluginApi } from "#edge/runtime/device-plugins";
import { ownerOf, type ContainerRuntime } from "#edge/runtime";
import { openRuntime as openEngine } from "#edge/runtime/choose";
import { openStore, type Store } from "#edge/store";
import { Bus } from "#shared/bus";
import type { ProcessDeps } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { running, type Running } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { isMachineStopping } from "#shared/service-manager";
import type { EdgeCatalog } from "#shared/topics";
import { startMetaServer, type MetaServer } from "#edge/meta-server";

/** The kubelet whose behavior edged follows, the KubeEdge whose wire it speaks, and our own version. */
function kubeletVersion(version: string): string {
  return `v1.26.15-kubeedge-v1.15.4-bun-v${version}`;
}

/** Everything edgecore is made of. Responders start before those who ask them; the link comes last. */
export async function startEdgecore(config: EdgeConfig, given: ProcessDeps): Promise<Running> {
  await using stack = new AsyncDisposableStack();
  const ownPorts = new Set<number>();
  const deps = notingPorts(given, ownPorts);
  const { clock } = deps;
  const log = (module: string) => deps.log.child({ module });
  const figures = new EdgeFigures(clock);
  const bus = stack.use(
    new Bus<EdgeCatalog>({
      onMessage: figures.countMessage,
      onFailure: (topic, module, error) => deps.log.error("a subscriber failed", { topic, module, error }),
    }),
  );
  const store = stack.use(openStore(config.databasePath, { nowMs: clock.nowMs(), log: log("store") }));
  // A read: a full disk is no reason to start again.
  stack.use(deps.onHealth("store", () => void store.metas.find("")));
  const meta = { node: config.nodeName, port: bus.port("metamanager"), store, clock } as const;
  stack.use(await startMetaManager({ ...meta, log: log("metamanager") }));
  const served = stack.use(figures.serve({ port: bus.port("figures"), store }));
  const twin = stack.use(
    await startDeviceTwin(
      { ...config.deviceTwin, node: config.nodeName, outboxLimitBytes: config.edgeHub.outboxLimitBytes },
      { port: bus.port("devicetwin"), store, clock, log: log("devicetwin"), figures: served.answer },
    ),
  );
  if (twin.queryPort !== undefined) deps.reportPort("devices", twin.queryPort);
  const broker = stack.use(
    await startEventBus(
      { ...config.mqtt, node: config.nodeName, version: deps.version },
      { port: bus.port("eventbus"), store, clock, log: log("eventbus") },
    ),
  );
  stack.use(await startProtocols(config, { bus, store, show: twin.show, clock }, log));
  stack.use(deps.onReload(() => refuseReload(config)));
  stack.use(deps.onReload(() => broker.reload()));
  if (broker.mqttPort !== undefined) deps.reportPort("mqtt", broker.mqttPort);
  if (broker.websocketPort !== undefined) deps.reportPort("mqtt-websocket", broker.websocketPort);
  const ruleParts = { port: bus.port("devicerules"), store, show: twin.show, clock, log: log("devicerules") };
  figures.countRules(stack.use(await startRules(config, ruleParts, ownPorts)).counts);
  const runtime = stack.use(await openRuntime(config, { clock, log: log("runtime") }));
  const { reportPort } = deps;
  const apiParts = { bus, store, showDevice: twin.show, clock, log: log("metaserver"), reportPort };
  const api = stack.use(await startApi(config, apiParts));
  const edged = stack.use(
    await startEdged(edgedSettings(config, deps.version), {
      port: bus.port("edged"),
      runtime,
      clock,
      log: log("edged"),
      nodeApi: api.address,
      onHealth: deps.onHealth,
      devicePlugins: { api: () => loadPluginApi(clock), record: deviceRecord(store) },
    }),
  );
  const services = { port: bus.port("servicebus"), store, clock, log: log("servicebus") } as const;
  stack.use(await startServices(config, { ...services, reportPort: deps.reportPort, ownPorts }));
  const hub = { port: bus.port("edgehub"), store, clock, log: log("edgehub") } as const;
  stack.use(await startEdgeHub(config, { ...hub, figures: served.answer }));
  // First of all, while it can still be reported.
  stack.defer(() => endPods(config.edged, edged));
  return running("edgecore", stack.move(), store.damaged);
}

/** What device plugins gave to containers: a row of the database, read when edged starts. */
function deviceRecord({ metas }: Store): DeviceRecord {
  const type = "devicegrant";
  const key = metas.keyOf({ type, namespace: "node", name: "devices" });
  return {
    read: () => metas.find(key)?.value,
    write: (value) => metas.put({ key, type, value }),
  };
}

/** Pods go on when edgecore alone ends. */
async function endPods({ shutdown }: EdgeConfig["edged"], edged: Pick<Edged, "shutDown">): Promise<void> {
  if (shutdown.graceSeconds > 0 && (await isMachineStopping())) await edged.shutDown();
}

function edgedSettings({ edged, nodeName, dataDir }: EdgeConfig, version: string): EdgedSettings {
  return { ...edged, nodeName, dataDir, version: edged.version ?? kubeletVersion(version) };
}

function openRuntime(
  { edged, nodeName: node, dataDir }: EdgeConfig,
  deps: Pick<ProcessDeps, "clock" | "log">,
): Promise<ContainerRuntime> {
  const { runtimeEndpoint, logs, processes } = edged;
  return openEngine(runtimeEndpoint, {
    owner: ownerOf(node, dataDir),
    node,
    dataDir,
    logs,
    processes,
    ...deps,
  });
}

type ProtocolParts = Omit<DmiParts, "log" | "port"> & { readonly bus: Bus<EdgeCatalog> };

/** Drivers of protocols, and the socket for mappers with the mappers beside edgecore where it is enabled. */
async function startProtocols(
  { nodeName: node, deviceTwin: { dmiSocket: socket, mappers, mapperProtocols: disabled } }: EdgeConfig,
  { bus, ...parts }: ProtocolParts,
  log: (module: string) => Logger,
): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  let hasMapper: (protocol: string) => boolean = () => false;
  if (socket !== undefined) {
    const dmiParts = { port: bus.port("dmi"), ...parts, log: log("dmi") } as const;
    ({ hasMapper } = stack.use(await startDmi({ node, socket }, dmiParts)));
    const command = [...ownCommand(), "run-mapper"];
    stack.use(startOwnMappers(mappers, { command, socket, clock: parts.clock, log: log("dmi") }));
  }
  const driverParts = { port: bus.port("drivers"), ...parts, hasMapper, log: log("drivers") } as const;
  stack.use(await startDrivers({ node, disabled }, driverParts));
  return stack.move();
}

/** The executable, or Bun with `main.ts`. */
function ownCommand(): string[] {
  return Bun.main.startsWith("/$bunfs") ? [process.execPath] : [process.execPath, Bun.main];
}

function startRules(
  { nodeName: node, serviceBus }: EdgeConfig,
  parts: DeviceRulesParts,
  ownPorts: ReadonlySet<number>,
): Promise<DeviceRules> {
  const allowedPorts = serviceBus?.allowedPorts ?? [];
  return startDeviceRules({ node, allowedPorts, ownPorts: () => ownPorts }, parts);
}

interface ServicesParts extends Omit<ServiceBusParts, "reportPort">, Pick<ProcessDeps, "reportPort"> {
  readonly ownPorts: ReadonlySet<number>;
}

async function startServices(
  { serviceBus, nodeName: node, dataDir: folder }: EdgeConfig,
  { ownPorts, reportPort, ...parts }: ServicesParts,
): Promise<AsyncDisposable> {
  if (!serviceBus) return refuseServices(parts.port);
  return startServiceBus(
    { ...serviceBus, node, folder, ownPorts: () => ownPorts },
    { ...parts, reportPort: (port) => reportPort("service-bus", port) },
  );
}

/** The service bus never calls a port that edgecore listens on. */
function notingPorts(deps: ProcessDeps, ports: Set<number>): ProcessDeps {
  const reportPort = (name: string, port: number): void => {
    ports.add(port);
    deps.reportPort(name, port);
  };
  return { ...deps, reportPort };
}

interface ApiDeps extends Pick<ProcessDeps, "clock" | "log" | "reportPort"> {
  readonly bus: Bus<EdgeCatalog>;
  readonly store: Store;
  readonly showDevice: DeviceTwin["show"];
}

/** The Kubernetes API on the node, where it is enabled. */
async function startApi(
  { metaServer, dataDir, nodeName: node, edged: { wireNamespace } }: EdgeConfig,
  { bus, reportPort, ...deps }: ApiDeps,
): Promise<AsyncDisposable & Partial<Pick<MetaServer, "address">>> {
  if (!metaServer) return new AsyncDisposableStack();
  const api = await startMetaServer(
    { ...metaServer, dataDir, node, wireNamespace },
    { port: bus.port("metaserver"), ...deps },
  );
  reportPort("meta-server", api.address.port);
  if (api.openHttpPort !== undefined) reportPort("meta-server-open-http", api.openHttpPort);
  return api;
}
