import * as z from "zod/mini";
import { orNothing } from "./cloud-config.ts";
import {
  flag,
  labels,
  listOf,
  port,
  section,
  text,
  textLike,
  texts,
  url,
  valuesOf,
  urlLists,
  whole,
  type Values,
} from "./field.ts";
import { processesSection, toProcesses, type ProcessesConfig } from "./processes.ts";

const seconds = (doc: string, fallback: number) => whole(doc, fallback, [1, 3600]);

const taint = z.strictObject({
  key: z.string(),
  value: z.optional(z.string()),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
});

/** What the node may run short of, what is gone soonest first (kubelet: byEvictionPriority). */
export const evictionSignals = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "pid.available",
] as const;
export type EvictionSignal = (typeof evictionSignals)[number];

/** Of kubelet. */
const defaultHardEviction = {
  "memory.available": "100Mi",
  "nodefs.available": "10%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "15%",
} as const;
const engineAddress = /^(unix:\/\/\/|tcp:\/\/)\S+/;
/** As Go writes them. */
const durationPattern = /^(\d{1,6}(\.\d{1,3})?(ms|s|m|h)){1,4}$/;

const amount = String.raw`\d{1,15}(\.\d{1,9})?([KMGTPE]i|[kMGTPE])?`;
const thresholds = (doc: string, fallback: Readonly<Record<string, string>>) =>
  valuesOf(doc, fallback, {
    names: evictionSignals,
    expected: "an amount such as 100Mi, or a percentage such as 10%",
    pattern: new RegExp(String.raw`^(${amount}|(100|\d{1,2}(\.\d{1,4})?)%)$`),
  });
const reserved = (doc: string) =>
  valuesOf(
    doc,
    {},
    {
      names: ["cpu", "memory", "ephemeral-storage", "pid"],
      expected: "an amount such as 500m or 256Mi",
      pattern: new RegExp(`^(${amount}|\\d{1,9}m)$`),
    },
  );

/** `edged.*` of `conf/edge.yaml`. */
export const edgedSection = section("Pods on this node.", {
  "register-node": flag("Whether edgecore creates its Node object.", true),
  "register-schedulable": flag("Whether the Node is schedulable when created.", true),
  "register-node-namespace": text("Namespace of node messages on the link.", "default"),
  "hostname-override": text("Node name. Empty: the host name in lower case.", ""),
  "interface-name": text("Network interface with the node's address. Empty: that of the default route.", ""),
  "node-ip": text("Address of the node; takes precedence over interface-name.", ""),
  labels: labels("Labels of the Node when created.", {}),
  taints: listOf("Taints of the Node when created: [{ key, value, effect }].", taint, {
    key: { expected: "text" },
    value: { expected: "text" },
    effect: { expected: "NoSchedule, PreferNoSchedule or NoExecute" },
  }),
  "node-status-update-frequency": seconds("Interval between node status reports, seconds.", 10),
  "runtime-endpoint": url(
    "Container engine, e.g. unix:///run/containerd/containerd.sock, unix:///var/run/crio/crio.sock or unix:///var/run/docker.sock. A socket named docker.sock or podman.sock and tcp://host:port are those of Docker's API, all others of the CRI. Empty: docker-address, else the one that this node used before, else the first of Docker, containerd and CRI-O that is there.",
    "",
    "unix:///path or tcp://host:port",
    engineAddress,
  ),
  "docker-address": url(
    "Older name of runtime-endpoint, for Docker's API at a socket of any name. Without effect when runtime-endpoint is set.",
    "",
    "unix:///path or tcp://host:port",
    engineAddress,
  ),
  processes: processesSection,
  "max-pods": whole("Maximum number of pods on this node.", 110, [1, 10_000]),
  "read-only-port": port(
    "Port in the Node's status (daemonEndpoints.kubeletEndpoint). edgecore does not listen on it.",
    10_350,
  ),
  "container-log-max-size": textLike(
    "Size at which the log of a container is rotated, from the next start of the container on.",
    "10Mi",
    "a size such as 500Ki, 10Mi or 1Gi",
    /^[1-9]\d{0,5}[KMG]i$/,
  ),
  "container-log-max-files": whole("Maximum number of log files of a container.", 5, [2, 1000]),
  "container-log-max-total": textLike(
    "Size of the logs of all containers together above which the oldest rotated files are removed; files that are written to are not. 0: no limit.",
    "1Gi",
    "0 or a size such as 500Ki, 10Mi or 1Gi",
    /^(0|[1-9]\d{0,5}[KMG]i)$/,
  ),
  "image-gc-high-threshold": whole(
    "Fill level of the disk with the images, percent, from which images that no container uses are removed. 100: none is, nor when pods are evicted.",
    85,
    [1, 100],
  ),
  "image-gc-low-threshold": whole("Fill level down to which they are removed, percent.", 80, [0, 99]),
  "image-minimum-gc-age": whole("Age below which an image is not removed, seconds.", 120, [0, 31_536_000]),
  "image-maximum-gc-age": whole(
    "Time without use after which an image is removed whatever the fill level, seconds in which edgecore runs. 0: none is.",
    0,
    [0, 315_360_000],
  ),
  "serialize-image-pulls": flag("Whether images are pulled one after the other.", true),
  "max-parallel-image-pulls": whole(
    "Maximum number of pulls at once, if serialize-image-pulls is false. 0: no limit.",
    0,
    [0, 1000],
  ),
  "image-pull-progress-deadline": seconds(
    "Time without progress after which a pull is cancelled, to be tried again later, seconds.",
    120,
  ),
  "registry-auth-file": text(
    "Docker config (config.json) with credentials for all pods, besides their imagePullSecrets. Read at each pull. Empty: none.",
    "",
  ),
  "registry-mirrors": urlLists(
    "Mirrors that are tried before a registry, in their order, e.g. { docker.io: [https://mirror.local:5000] }.",
    "http or https URLs without user, password and query",
    /^https?:\/\/[^\s/@?#]+(\/[^\s@?#]*)?$/,
  ),
  "image-dir": text(
    "Directory of image archives (.tar, .tar.gz, .tar.zst), which are loaded at start and when they appear. Empty: none.",
    "",
  ),
  "cluster-dns": texts("Name servers of pods with dnsPolicy ClusterFirst. Empty: the host's.", []),
  "cluster-domain": text("Search domain of these pods.", "cluster.local"),
  "allowed-unsafe-sysctls": texts(
    "Sysctls that pods may set in addition to the Kubernetes safe set, e.g. net.core.somaxconn or kernel.msg*.",
    [],
  ),
  "static-pod-path": text(
    "Directory with static pods, one in each file, YAML or JSON. They run without the cloud. Empty: none.",
    "/etc/kubeedge/manifests",
  ),
  "pod-pids-limit": whole(
    "Maximum number of processes and threads of each container. -1: no limit but the engine's own.",
    -1,
    [-1, 4_194_304],
  ),
  "device-plugin-path": text(
    "Directory where device plugins register, kubelet.sock in it: /var/lib/kubelet/device-plugins for those made for kubelet. Empty: none are served.",
    "",
  ),
  "shutdown-grace-period": whole(
    "Time for pods to end when the machine shuts down, seconds. 0: they are left to the container engine.",
    0,
    [0, 3600],
  ),
  "shutdown-grace-period-critical-pods": whole(
    "The part of shutdown-grace-period for critical pods, which end after the others, seconds.",
    0,
    [0, 3600],
  ),
  "eviction-hard": thresholds(
    "Eviction thresholds: what the node keeps free. Below one of them a pod is ended at once. What is not named keeps its default, 0% is none.",
    defaultHardEviction,
  ),
  "eviction-soft": thresholds(
    "Eviction thresholds of which a pod is ended only after eviction-soft-grace-period, e.g. { memory.available: 300Mi }.",
    {},
  ),
  "eviction-soft-grace-period": valuesOf(
    "How long each threshold of eviction-soft has to be passed, e.g. { memory.available: 1m30s }.",
    {},
    { names: evictionSignals, expected: "a duration such as 90s or 1m30s", pattern: durationPattern },
  ),
  "eviction-minimum-reclaim": thresholds(
    "How much beyond a threshold is freed once it is passed, e.g. { nodefs.available: 500Mi }.",
    {},
  ),
  "eviction-pressure-transition-period": whole(
    "How long a condition of pressure of the Node, and what follows from it, lasts at least, seconds.",
    300,
    [0, 86_400],
  ),
  "eviction-max-pod-grace-period": whole(
    "Maximum grace period of a pod that is ended by a threshold of eviction-soft, seconds.",
    0,
    [0, 86_400],
  ),
  "system-reserved": reserved(
    "What programs beside pods need of cpu, memory and ephemeral-storage: not allocatable to pods, e.g. { cpu: 200m, memory: 256Mi }. pid is accepted, without effect.",
  ),
  "kube-reserved": reserved("The same for edgecore and the container engine."),
  version: text("Version in the Node's status. Empty: edgecore's own.", ""),
});

export type EdgedValues = Values<(typeof edgedSection)["children"]>;

export interface ImagesConfig {
  readonly pulls: {
    /** 0: no limit */
    readonly parallel: number;
    readonly idleMs: number;
    readonly authFile: string | undefined;
    /** URLs by registry, e.g. "docker.io" */
    readonly mirrors: Readonly<Record<string, readonly string[]>>;
  };
  readonly gc: {
    /** 100: never */
    readonly highPercent: number;
    readonly lowPercent: number;
    readonly minimumAgeMs: number;
    /** undefined: no image is too old */
    readonly maximumAgeMs: number | undefined;
  };
  readonly archiveDir: string | undefined;
}

export interface EdgedConfig {
  readonly registerNode: boolean;
  readonly registerSchedulable: boolean;
  readonly wireNamespace: string;
  readonly interfaceName: string | undefined;
  readonly nodeIp: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: EdgedValues["taints"];
  readonly statusIntervalMs: number;
  /** undefined: one that is found */
  readonly runtimeEndpoint: RuntimeEndpoint | undefined;
  /** undefined: pods run no programs of this machine */
  readonly processes: ProcessesConfig | undefined;
  readonly maxPods: number;
  readonly readOnlyPort: number;
  /** The first two of one run of a container; the total of all, undefined: no limit. */
  readonly logs: {
    readonly fileBytes: number;
    readonly files: number;
    readonly totalBytes: number | undefined;
  };
  readonly images: ImagesConfig;
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly allowedUnsafeSysctls: readonly string[];
  /** undefined: edgecore's own */
  readonly version: string | undefined;
  /** Of each container; undefined: no limit. */
  readonly podPidsLimit: number | undefined;
  /** undefined: there are none */
  readonly staticPodPath: string | undefined;
  /** undefined: none are served */
  readonly devicePluginPath: string | undefined;
  readonly shutdown: { readonly graceSeconds: number; readonly criticalSeconds: number };
  readonly eviction: EvictionConfig;
  /** Sums of what is reserved, quantities by resource. */
  readonly reserved: readonly Readonly<Record<string, string>>[];
}

export interface RuntimeEndpoint {
  /** Whose API it has. */
  readonly kind: "docker" | "cri";
  /** `unix:///path`, for Docker also `tcp://host:port` */
  readonly address: string;
}

/** Thresholds are texts such as "100Mi" or "10%". */
export interface EvictionConfig {
  readonly hard: EvictionAmounts;
  readonly soft: EvictionAmounts;
  readonly softGraceMs: Readonly<Partial<Record<EvictionSignal, number>>>;
  readonly minimumReclaim: EvictionAmounts;
  readonly transitionMs: number;
  readonly maxPodGraceSeconds: number;
}

export type EvictionAmounts = Readonly<Partial<Record<EvictionSignal, string>>>;

function toEndpoint(edged: EdgedValues): RuntimeEndpoint | undefined {
  const { "runtime-endpoint": address, "docker-address": older } = edged;
  if (address !== "") return { kind: isDocker.test(address) ? "docker" : "cri", address };
  return older === "" ? undefined : { kind: "docker", address: older };
}

const isDocker = /^tcp:|\/(docker|podman)\.sock$/;

function toLogs(edged: EdgedValues): EdgedConfig["logs"] {
  const total = edged["container-log-max-total"];
  return {
    fileBytes: bytesOf(edged["container-log-max-size"]),
    files: edged["container-log-max-files"],
    totalBytes: total === "0" ? undefined : bytesOf(total),
  };
}

/** The typed form of a checked section. */
export function toEdged(edged: EdgedValues): EdgedConfig {
  return {
    registerNode: edged["register-node"],
    registerSchedulable: edged["register-schedulable"],
    wireNamespace: edged["register-node-namespace"],
    interfaceName: orNothing(edged["interface-name"]),
    nodeIp: orNothing(edged["node-ip"]),
    labels: edged.labels,
    taints: edged.taints,
    statusIntervalMs: edged["node-status-update-frequency"] * 1000,
    runtimeEndpoint: toEndpoint(edged),
    processes: toProcesses(edged.processes),
    maxPods: edged["max-pods"],
    readOnlyPort: edged["read-only-port"],
    logs: toLogs(edged),
    images: toImages(edged),
    clusterDns: edged["cluster-dns"],
    clusterDomain: edged["cluster-domain"],
    allowedUnsafeSysctls: edged["allowed-unsafe-sysctls"],
    version: orNothing(edged.version),
    podPidsLimit: edged["pod-pids-limit"] > 0 ? edged["pod-pids-limit"] : undefined,
    staticPodPath: orNothing(edged["static-pod-path"]),
    devicePluginPath: orNothing(edged["device-plugin-path"]),
    shutdown: {
      graceSeconds: edged["shutdown-grace-period"],
      criticalSeconds: edged["shutdown-grace-period-critical-pods"],
    },
    eviction: toEviction(edged),
    reserved: [edged["system-reserved"], edged["kube-reserved"]],
  };
}

function toEviction(edged: EdgedValues): EvictionConfig {
  const graces = Object.entries(edged["eviction-soft-grace-period"]);
  return {
    hard: { ...defaultHardEviction, ...edged["eviction-hard"] },
    soft: edged["eviction-soft"],
    softGraceMs: Object.fromEntries(graces.map(([signal, text]) => [signal, durationMs(text)])),
    minimumReclaim: edged["eviction-minimum-reclaim"],
    transitionMs: edged["eviction-pressure-transition-period"] * 1000,
    maxPodGraceSeconds: edged["eviction-max-pod-grace-period"],
  };
}

/** Of a duration as Go writes it, such as "1m30s". */
function durationMs(text: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0);
}

/** Problems of the section that no field shows by itself: every soft threshold has a grace period, as kubelet demands. */
export function findEvictionProblems(edged: EdgedValues): string[] {
  const graces = edged["eviction-soft-grace-period"];
  return Object.keys(edged["eviction-soft"])
    .filter((signal) => graces[signal] === undefined)
    .map(
      (signal) =>
        `edged.eviction-soft-grace-period: expected a duration for ${signal}, as edged.eviction-soft has a threshold for it, got none; add ${signal}: 90s`,
    );
}

function toImages(edged: EdgedValues): ImagesConfig {
  const maximumAge = edged["image-maximum-gc-age"];
  return {
    pulls: {
      parallel: edged["serialize-image-pulls"] ? 1 : edged["max-parallel-image-pulls"],
      idleMs: edged["image-pull-progress-deadline"] * 1000,
      authFile: orNothing(edged["registry-auth-file"]),
      mirrors: edged["registry-mirrors"],
    },
    gc: {
      highPercent: edged["image-gc-high-threshold"],
      lowPercent: Math.min(
        edged["image-gc-low-threshold"],
        Math.max(0, edged["image-gc-high-threshold"] - 5),
      ),
      minimumAgeMs: edged["image-minimum-gc-age"] * 1000,
      maximumAgeMs: maximumAge === 0 ? undefined : maximumAge * 1000,
    },
    archiveDir: orNothing(edged["image-dir"]),
  };
}

/** Of a size that the field has checked. */
function bytesOf(size: string): number {
  const power = ["Ki", "Mi", "Gi"].indexOf(size.slice(-2)) + 1;
  return Number(size.slice(0, -2)) * 1024 ** power;
}
