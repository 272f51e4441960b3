import { isPlain } from "./check.ts";

/** A KubeEdge 1.x file converted to our fields, with the names of those that have no equivalent. */
export interface Mapped {
  readonly input: unknown;
  readonly unserved: readonly string[];
}

type Convert = (value: unknown) => unknown;
type Row = readonly [theirs: string, ours: string, convert?: Convert];

const same: Convert = (value) => value;
const asList: Convert = (value) => (Array.isArray(value) ? value.filter((one) => one !== "") : value);

const cloudRows: readonly Row[] = [
  ["kubeAPIConfig.master", "controller.kube.master"],
  ["kubeAPIConfig.kubeConfig", "controller.kube.kubeconfig"],
  ["kubeAPIConfig.qps", "controller.kube.qps"],
  ["kubeAPIConfig.burst", "controller.kube.burst"],
  ["modules.cloudHub.keepaliveInterval", "cloudhub.keepalive-interval"],
  ["modules.cloudHub.writeTimeout", "cloudhub.write-timeout"],
  ["modules.cloudHub.nodeLimit", "cloudhub.node-limit"],
  ["modules.cloudHub.tlsCAFile", "cloudhub.ca"],
  ["modules.cloudHub.tlsCAKeyFile", "cloudhub.ca-key"],
  ["modules.cloudHub.tlsCertFile", "cloudhub.cert"],
  ["modules.cloudHub.tlsPrivateKeyFile", "cloudhub.key"],
  ["modules.cloudHub.advertiseAddress", "cloudhub.advertise", asList],
  ["modules.cloudHub.edgeCertSigningDuration", "cloudhub.edge-cert-days"],
  ["modules.cloudHub.tokenRefreshDuration", "cloudhub.token-hours"],
  ["modules.cloudHub.websocket.address", "cloudhub.address"],
  ["modules.cloudHub.websocket.port", "cloudhub.port"],
  ["modules.cloudHub.https.port", "cloudhub.https-port"],
  ["modules.edgeController.nodeUpdateFrequency", "controller.kube.node_update_frequency"],
  ["modules.deviceController.enable", "devicecontroller.enabled"],
  ["modules.cloudStream.enable", "cloudstream.enabled"],
  ["modules.cloudStream.tunnelPort", "cloudstream.tunnel-port"],
  ["modules.cloudStream.streamPort", "cloudstream.stream-port"],
  ["modules.cloudStream.tlsStreamCAFile", "cloudstream.stream-ca"],
  ["modules.cloudStream.tlsStreamCertFile", "cloudstream.stream-cert"],
  ["modules.cloudStream.tlsStreamPrivateKeyFile", "cloudstream.stream-key"],
];

const kubelet = "modules.edged.tailoredKubeletConfig";
const edgeRows: readonly Row[] = [
  ["database.dataSource", "database.path"],
  ["modules.edged.hostnameOverride", "edged.hostname-override"],
  ["modules.edged.registerNode", "edged.register-node"],
  ["modules.edged.registerSchedulable", "edged.register-schedulable"],
  ["modules.edged.registerNodeNamespace", "edged.register-node-namespace"],
  ["modules.edged.nodeIP", "edged.node-ip"],
  ["modules.edged.remoteRuntimeEndpoint", "edged.runtime-endpoint", toEndpoint],
  ["modules.edged.customInterfaceName", "edged.interface-name"],
  ["modules.edged.nodeLabels", "edged.labels"],
  ["modules.edged.registerWithTaints", "edged.taints"],
  [`${kubelet}.containerRuntimeEndpoint`, "edged.runtime-endpoint", toEndpoint],
  [`${kubelet}.nodeStatusUpdateFrequency`, "edged.node-status-update-frequency", toSeconds],
  [`${kubelet}.readOnlyPort`, "edged.read-only-port"],
  [`${kubelet}.maxPods`, "edged.max-pods"],
  [`${kubelet}.containerLogMaxSize`, "edged.container-log-max-size"],
  [`${kubelet}.containerLogMaxFiles`, "edged.container-log-max-files"],
  [`${kubelet}.imageGCHighThresholdPercent`, "edged.image-gc-high-threshold"],
  [`${kubelet}.imageGCLowThresholdPercent`, "edged.image-gc-low-threshold"],
  [`${kubelet}.imageMinimumGCAge`, "edged.image-minimum-gc-age", toSeconds],
  [`${kubelet}.imageMaximumGCAge`, "edged.image-maximum-gc-age", toSeconds],
  [`${kubelet}.serializeImagePulls`, "edged.serialize-image-pulls"],
  [`${kubelet}.maxParallelImagePulls`, "edged.max-parallel-image-pulls"],
  [`${kubelet}.clusterDNS`, "edged.cluster-dns"],
  [`${kubelet}.clusterDomain`, "edged.cluster-domain"],
  [`${kubelet}.allowedUnsafeSysctls`, "edged.allowed-unsafe-sysctls"],
  [`${kubelet}.staticPodPath`, "edged.static-pod-path"],
  [`${kubelet}.shutdownGracePeriod`, "edged.shutdown-grace-period", toSeconds],
  [`${kubelet}.shutdownGracePeriodCriticalPods`, "edged.shutdown-grace-period-critical-pods", toSeconds],
  [`${kubelet}.podPidsLimit`, "edged.pod-pids-limit"],
  [`${kubelet}.evictionHard`, "edged.eviction-hard"],
  [`${kubelet}.evictionSoft`, "edged.eviction-soft"],
  [`${kubelet}.evictionSoftGracePeriod`, "edged.eviction-soft-grace-period"],
  [`${kubelet}.evictionMinimumReclaim`, "edged.eviction-minimum-reclaim"],
  [`${kubelet}.evictionPressureTransitionPeriod`, "edged.eviction-pressure-transition-period", toSeconds],
  [`${kubelet}.evictionMaxPodGracePeriod`, "edged.eviction-max-pod-grace-period"],
  [`${kubelet}.systemReserved`, "edged.system-reserved"],
  [`${kubelet}.kubeReserved`, "edged.kube-reserved"],
  ["modules.edgeHub.heartbeat", "edgehub.controller.heartbeat"],
  ["modules.edgeHub.projectID", "edgehub.controller.project-id"],
  ["modules.edgeHub.tlsCaFile", "edgehub.websocket.cafile"],
  ["modules.edgeHub.tlsCertFile", "edgehub.websocket.certfile"],
  ["modules.edgeHub.tlsPrivateKeyFile", "edgehub.websocket.keyfile"],
  ["modules.edgeHub.websocket.server", "edgehub.server"],
  ["modules.edgeHub.websocket.handshakeTimeout", "edgehub.websocket.handshake-timeout"],
  ["modules.edgeHub.websocket.readDeadline", "edgehub.websocket.read-deadline"],
  ["modules.edgeHub.websocket.writeDeadline", "edgehub.websocket.write-deadline"],
  ["modules.edgeHub.httpServer", "edgehub.https"],
  ["modules.edgeHub.token", "edgehub.token"],
  ["modules.edgeHub.rotateCertificates", "edgehub.rotate-certificates"],
  ["modules.eventBus.mqttQOS", "mqtt.qos"],
  ["modules.eventBus.mqttRetain", "mqtt.retain"],
  ["modules.eventBus.mqttSessionQueueSize", "mqtt.session-queue-size"],
  ["modules.eventBus.mqttServerExternal", "mqtt.server"],
  ["modules.eventBus.mqttServerInternal", "mqtt.internal-server"],
  ["modules.eventBus.mqttPubClientID", "mqtt.client-id"],
  ["modules.eventBus.mqttUsername", "mqtt.username"],
  ["modules.eventBus.mqttPassword", "mqtt.password"],
  ["modules.eventBus.mqttMode", "mqtt.mode"],
  ["modules.deviceTwin.dmiSockPath", "devicetwin.dmi-socket", toDmiSocket],
  ["modules.edgeStream.enable", "edgestream.enabled"],
  ["modules.edgeStream.server", "edgestream.server"],
  ["modules.serviceBus.port", "service-bus.port"],
  ["modules.serviceBus.timeout", "service-bus.timeout"],
  ["modules.eventBus.eventBusTLS.tlsMqttCAFile", "mqtt.cafile"],
  ["modules.eventBus.eventBusTLS.tlsMqttCertFile", "mqtt.certfile"],
  ["modules.eventBus.eventBusTLS.tlsMqttPrivateKeyFile", "mqtt.keyfile"],
];

/** In every file of KubeEdge, and true here: not worth a warning. */
const harmless = /^(apiVersion|kind|metadata)\b|^database\.(driverName|aliasName)$|\.contentType$/;
/** What always runs here: switching it off is not served, saying that it is on is true. */
const running =
  /\.(websocket|https|cloudHub|edgeController|syncController|edged|edgeHub|eventBus|metaManager|deviceTwin)\.enable$/;

export function isKubeEdgeFile(input: unknown, program: "cloudcore" | "edgecore"): boolean {
  const version = isPlain(input) ? input["apiVersion"] : undefined;
  return typeof version === "string" && version.startsWith(`${program}.config.kubeedge.io/`);
}

/** Turns a KubeEdge 1.x file into the shape of ours; `fileExists` decides about certificates they name by default. */
export function mapKubeEdgeFile(
  input: unknown,
  program: "cloudcore" | "edgecore",
  fileExists: (path: string) => boolean,
): Mapped {
  const rows = program === "cloudcore" ? cloudRows : edgeRows;
  const output: Record<string, unknown> = {};
  for (const [theirs, ours, convert = same] of rows) {
    const value = valueAt(input, theirs);
    if (value === undefined || value === null || isMissingFile(theirs, value, fileExists)) continue;
    put(output, ours, convert(value));
  }
  const served = new Set(rows.map(([theirs]) => theirs));
  return { input: output, unserved: findUnserved(input, "", served) };
}

/** Problems name our fields; the author of a KubeEdge file looks for those of KubeEdge. */
export function inTheirWords(problem: string, program: "cloudcore" | "edgecore"): string {
  const theirs = new Map(
    (program === "cloudcore" ? cloudRows : edgeRows).map(([name, ours]) => [ours, name]),
  );
  return problem.replaceAll(/(?<![\w.-])[a-z][\w-]*(?:\.[\w-]+)+/g, (name) => {
    const ours = [...theirs.keys()].find((one) => name === one || name.startsWith(`${one}.`));
    return ours === undefined ? name : `${theirs.get(ours)}${name.slice(ours.length)}`;
  });
}

/** Their files name certificates that enrollment has yet to write; ours are kept elsewhere. */
function isMissingFile(theirs: string, value: unknown, fileExists: (path: string) => boolean): boolean {
  return theirs.endsWith("File") && typeof value === "string" && !fileExists(value);
}

/** Leaves that no row reads; a section without any served leaf is named as a whole. */
function findUnserved(input: unknown, path: string, served: ReadonlySet<string>): string[] {
  if (served.has(path) || harmless.test(path) || input === null) return [];
  if (path.endsWith(".enable")) return running.test(path) === input ? [] : [path];
  if (!isPlain(input) || Array.isArray(input)) return [path];
  const entries = Object.entries(input);
  const inner = entries.flatMap(([key, value]) =>
    findUnserved(value, path === "" ? key : `${path}.${key}`, served),
  );
  const hasServed = path === "" || [...served].some((one) => one.startsWith(`${path}.`));
  return hasServed || inner.length === 0 ? inner : [path];
}

function valueAt(input: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (isPlain(value) ? value[key] : undefined), input);
}

function put(output: Record<string, unknown>, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let parent = output;
  for (const key of keys) {
    parent[key] ??= {};
    parent = parent[key] as Record<string, unknown>;
  }
  parent[last] = value;
}

/** A folder, or (before KubeEdge 1.21) the socket in it, which has always the same name. */
function toDmiSocket(value: unknown): unknown {
  if (typeof value !== "string" || value === "") return "/etc/kubeedge/dmi.sock";
  return value.endsWith(".sock")
    ? value.replace(/[^/]*$/, "dmi.sock")
    : `${value.replace(/\/+$/, "")}/dmi.sock`;
}

/** A Go duration ("1m30s") in whole seconds; anything else is left for the check to refuse. */
/** Files from before Kubernetes 1.24 name the part of kubelet that spoke to Docker. */
function toEndpoint(value: unknown): unknown {
  return typeof value === "string" && value.endsWith("/dockershim.sock")
    ? "unix:///var/run/docker.sock"
    : value;
}

function toSeconds(value: unknown): unknown {
  const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };
  if (typeof value !== "string" || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(value)) return value;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return Math.round(
    parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? "s"] ?? 0), 0),
  );
}
