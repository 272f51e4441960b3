import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "#shared/kube";
import { Directory } from "#edge/edged/volumes/held-paths";

const fileName = "etc-hosts";
const hostsOfNode = "/etc/hosts";
const loopback = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
];

export interface HostsFileFacts {
  readonly hostname: string;
  /** Of the cluster, e.g. "cluster.local" */
  readonly domain: string;
  readonly podIps: readonly string[];
}

/**
 * Writes the /etc/hosts of a pod, which all its containers share, into its directory. In place: a container that runs has it
 * mounted. @returns its path
 */
export function writeHostsFile(podDir: string, pod: Pod, facts: HostsFileFacts): string {
  using dir = Directory.open(podDir);
  dir.overwrite(fileName, Buffer.from(hostsText(pod, facts)), { mode: 0o644 });
  return join(podDir, fileName);
}

/** As kubelet writes it (kubelet_pods.go): programs know a pod's own file by its first line. */
function hostsText(pod: Pod, facts: HostsFileFacts): string {
  const names = namesOf(pod, facts);
  const own = [
    "# Kubernetes-managed hosts file.",
    ...loopback,
    ...facts.podIps.map((ip) => [ip, ...names].join("\t")),
  ];
  const lines = pod.spec.hostNetwork
    ? ["# Kubernetes-managed hosts file (host network).", ...nodeLines()]
    : own;
  return [...lines, ...aliasLines(pod), ""].join("\n");
}

function nodeLines(): string[] {
  return readFileSync(hostsOfNode, "utf8").trimEnd().split("\n");
}

function namesOf({ spec, metadata }: Pod, { hostname, domain }: HostsFileFacts): string[] {
  const { subdomain } = spec;
  const namespace = metadata.namespace ?? "default";
  return subdomain ? [`${hostname}.${subdomain}.${namespace}.svc.${domain}`, hostname] : [hostname];
}

function aliasLines({ spec }: Pod): string[] {
  const lines = (spec.hostAliases ?? []).map(({ ip, hostnames }) => [ip, ...(hostnames ?? [])].join("\t"));
  return lines.length === 0 ? [] : ["", "# Entries added by HostAliases.", ...lines];
}
