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
  whole,
  type Values,
} from "./field.ts";

const seconds = (doc: string, fallback: number) => whole(doc, fallback, [1, 3600]);

const taint = z.strictObject({
  key: z.string(),
  value: z.optional(z.string()),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
});

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
  "docker-address": url(
    "Address of the Docker engine.",
    "unix:///var/run/docker.sock",
    "unix:///path or tcp://host:port",
    /^(unix:\/\/\/|tcp:\/\/)\S+/,
  ),
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
  "cluster-dns": texts("Name servers of pods with dnsPolicy ClusterFirst. Empty: the host's.", []),
  "cluster-domain": text("Search domain of these pods.", "cluster.local"),
  "allowed-unsafe-sysctls": texts(
    "Sysctls that pods may set in addition to the Kubernetes safe set, e.g. net.core.somaxconn or kernel.msg*.",
    [],
  ),
  version: text("Version in the Node's status. Empty: edgecore's own.", ""),
});

export type EdgedValues = Values<(typeof edgedSection)["children"]>;

export interface EdgedConfig {
  readonly registerNode: boolean;
  readonly registerSchedulable: boolean;
  readonly wireNamespace: string;
  readonly interfaceName: string | undefined;
  readonly nodeIp: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: EdgedValues["taints"];
  readonly statusIntervalMs: number;
  /** `unix:///path` or `tcp://host:port` */
  readonly dockerAddress: string;
  readonly maxPods: number;
  readonly readOnlyPort: number;
  /** Of one run of a container. */
  readonly logs: { readonly fileBytes: number; readonly files: number };
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly allowedUnsafeSysctls: readonly string[];
  /** undefined: edgecore's own */
  readonly version: string | undefined;
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
    dockerAddress: edged["docker-address"],
    maxPods: edged["max-pods"],
    readOnlyPort: edged["read-only-port"],
    logs: { fileBytes: bytesOf(edged["container-log-max-size"]), files: edged["container-log-max-files"] },
    clusterDns: edged["cluster-dns"],
    clusterDomain: edged["cluster-domain"],
    allowedUnsafeSysctls: edged["allowed-unsafe-sysctls"],
    version: orNothing(edged.version),
  };
}

/** Of a size that the field has checked. */
function bytesOf(size: string): number {
  const power = ["Ki", "Mi", "Gi"].indexOf(size.slice(-2)) + 1;
  return Number(size.slice(0, -2)) * 1024 ** power;
}
