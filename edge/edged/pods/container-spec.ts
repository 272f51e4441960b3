import { AppError } from "#shared/errors";
import { quantityNumber, runtimeHandlerField, type Container, type Pod } from "#shared/kube";
import type {
  ContainerIdentity,
  ContainerResources,
  ContainerSpec,
  Dns,
  Mount,
  PortBinding,
  SandboxSpec,
} from "#edge/runtime";
import type { AllocatedContainer } from "#edge/runtime/device-plugins";
import { Expansion } from "#edge/edged/environment";
import { securityOf, sysctlsOf, type NodeSecurity } from "#edge/edged/security-context";
import { oomScoreAdj, sandboxName, specHash, type Role } from "#edge/edged/pods/plan";

export interface ClusterDns {
  readonly servers: readonly string[];
  readonly domain: string;
}

export interface SandboxOptions {
  readonly attempt: number;
  readonly dns: ClusterDns;
  readonly security: NodeSecurity;
}

/** What holds a pod's network and IPC namespaces; ports are bound here. @throws SecurityError for a forbidden sysctl */
export function sandboxSpec(pod: Pod, options: SandboxOptions): SandboxSpec {
  const { spec } = pod;
  const dns = dnsOf(pod, options.dns);
  return {
    identity: identityOf(pod, { container: sandboxName, role: "sandbox", attempt: options.attempt }),
    network: spec.hostNetwork
      ? { kind: "host" }
      : { kind: "own", hostname: kernelHostname(pod, options.dns), ports: portsOf(pod) },
    hostIpc: spec.hostIPC ?? false,
    pid: pidOf(pod),
    privileged: hasPrivileged(pod),
    ...(dns && !spec.hostNetwork ? { dns } : {}),
    sysctls: sysctlsOf(pod, options.security.allowedUnsafeSysctls),
    ...handlerOf(pod),
  };
}

export interface ContainerOptions {
  readonly role: Role;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly sandbox: SandboxSpec;
  /** Id of the container whose processes it sees. */
  readonly targetId?: string | undefined;
  readonly env: ReadonlyMap<string, string>;
  readonly mounts: readonly Mount[];
  readonly security: NodeSecurity;
  /** The user the image names. */
  readonly imageUser: string;
  readonly limits: NodeLimits;
}

/** What the node has, and what it allows each container. */
export interface NodeLimits {
  readonly memoryBytes: number;
  /** Processes and threads; undefined: as many as the engine allows. */
  readonly processes: number | undefined;
}

/** One container of a pod, joined to its sandbox. */
export function containerSpec(pod: Pod, container: Container, options: ContainerOptions): ContainerSpec {
  const { role, attempt, sandboxId, sandbox, env, mounts, imageUser, security: node } = options;
  const expansion = new Expansion();
  const expanded = (texts: readonly string[]): string[] => texts.map((text) => expansion.expand(text, env));
  return {
    identity: {
      ...identityOf(pod, { container: container.name, role, attempt }),
      specHash: specHash(container),
      sandboxId,
    },
    sandbox,
    image: container.image ?? "",
    ...(container.command?.length ? { command: expanded(container.command) } : {}),
    ...(container.args?.length ? { args: expanded(container.args) } : {}),
    env: [...env].map(([name, value]) => `${name}=${value}`),
    ...(container.workingDir ? { workingDir: expansion.expand(container.workingDir, env) } : {}),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    ipc: pod.spec.hostIPC ? "host" : "pod",
    pid: options.targetId === undefined ? pidOf(pod) : { ofContainer: options.targetId },
    mounts,
    ...resourcesOf(container),
    ...limitsOf(pod, container, options.limits),
    ...securityOf(pod, container, { imageUser, node }),
  };
}

/** With what device plugins gave it. Variables of the pod win over those of plugins, as with kubelet. */
export function withDevices(spec: ContainerSpec, given: readonly AllocatedContainer[]): ContainerSpec {
  if (given.length === 0) return spec;
  const envs = given.flatMap((one) => Object.entries(one.envs).map(([name, value]) => `${name}=${value}`));
  const mounts = given.flatMap((one) =>
    one.mounts.map(({ hostPath, containerPath, readOnly }) => ({
      source: hostPath,
      target: containerPath,
      readOnly,
    })),
  );
  const devices = given.flatMap((one) => one.devices);
  return {
    ...spec,
    env: [...envs, ...spec.env],
    mounts: [...spec.mounts, ...mounts],
    ...(devices.length > 0 && { devices }),
  };
}

function identityOf(
  pod: Pod,
  who: Pick<ContainerIdentity, "container" | "role" | "attempt">,
): ContainerIdentity {
  const { name, namespace, uid } = pod.metadata;
  return {
    ...who,
    podName: name ?? "",
    podNamespace: namespace ?? "",
    podUid: uid ?? "",
    specHash: "",
    sandboxId: "",
    graceSeconds: pod.spec.terminationGracePeriodSeconds ?? 30,
  };
}

/** What a pod with a network of its own is called in it, without its domain. */
export function hostnameOf(pod: Pod): string {
  return (pod.spec.hostname || pod.metadata.name || "pod").slice(0, 63).replace(/[-.]+$/, "");
}

/** Linux: HOST_NAME_MAX. */
const longestHostname = 64;

/** The same with the domain where the pod asks for it (kubelet: GetNodenameForKernel). @throws AppError when it is too long */
function kernelHostname(pod: Pod, { domain }: ClusterDns): string {
  const { hostname: given, subdomain, setHostnameAsFQDN } = pod.spec;
  for (const [field, label] of Object.entries({ Hostname: given, Subdomain: subdomain }))
    if (label && !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(label))
      throw new AppError("hostname", `pod ${field} ${JSON.stringify(label)} is not a valid DNS label`);
  const hostname = hostnameOf(pod);
  if (setHostnameAsFQDN !== true || !subdomain) return hostname;
  const name = `${hostname}.${subdomain}.${pod.metadata.namespace ?? "default"}.svc.${domain}`;
  if (name.length <= longestHostname) return name;
  throw new AppError(
    "hostname",
    `Failed to construct FQDN from pod hostname and cluster domain, FQDN ${name} is too long (${longestHostname} characters is the max, ${name.length} characters requested)`,
  );
}

function portsOf(pod: Pod): PortBinding[] {
  const ports = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap(
    (one) => one.ports ?? [],
  );
  return ports
    .filter((port) => port.hostPort)
    .map(({ containerPort, hostPort, hostIP, protocol }) => ({
      containerPort,
      hostPort: hostPort ?? 0,
      hostIp: hostIP ?? "",
      protocol: protocol === "UDP" ? "udp" : protocol === "SCTP" ? "sctp" : "tcp",
    }));
}

/** Without a cluster DNS (the edge's normal case) "ClusterFirst" is the host's own resolver, like "Default". */
function dnsOf(pod: Pod, cluster: ClusterDns): Dns | undefined {
  const { dnsPolicy = "ClusterFirst", dnsConfig } = pod.spec;
  const useCluster = dnsPolicy === "ClusterFirst" && cluster.servers.length > 0;
  const base = useCluster ? clusterDns(pod, cluster) : { servers: [], searches: [], options: [] };
  const dns = {
    servers: [...base.servers, ...(dnsConfig?.nameservers ?? [])],
    searches: [...base.searches, ...(dnsConfig?.searches ?? [])],
    options: [...base.options, ...(dnsConfig?.options ?? []).map(formatOption)],
  };
  return dns.servers.length + dns.searches.length + dns.options.length > 0 ? dns : undefined;
}

function clusterDns(pod: Pod, { servers, domain }: ClusterDns): Dns {
  const zone = `svc.${domain}`;
  return {
    servers,
    searches: [`${pod.metadata.namespace ?? "default"}.${zone}`, zone, domain],
    options: ["ndots:5"],
  };
}

function formatOption({ name, value }: { readonly name?: string; readonly value?: string }): string {
  return value === undefined ? (name ?? "") : `${name}:${value}`;
}

/** @throws AppError, as kubelet, when there is no such RuntimeClass */
function handlerOf(pod: Pod): Pick<SandboxSpec, "runtimeHandler"> {
  const name = pod.spec.runtimeClassName ?? "";
  if (name === "") return {};
  // KubeEdge's cloud sends none, and files of static pods have none: most classes are called as their handlers.
  const handler = typeof pod[runtimeHandlerField] === "string" ? pod[runtimeHandlerField] : name;
  if (handler !== "") return { runtimeHandler: handler };
  throw new AppError(
    "runtime-class",
    `failed to get sandbox runtime: no runtime for "${name}" is configured: RuntimeClass "${name}" not found`,
  );
}

function pidOf({ spec }: Pod): SandboxSpec["pid"] {
  if (spec.hostPID) return "host";
  return spec["shareProcessNamespace"] === true ? "pod" : "container";
}

function hasPrivileged({ spec }: Pod): boolean {
  const { containers, initContainers = [], ephemeralContainers = [] } = spec;
  const all = [...containers, ...initContainers, ...ephemeralContainers];
  return all.some((one) => one.securityContext?.privileged === true);
}

function limitsOf(
  pod: Pod,
  container: Container,
  { memoryBytes, processes }: NodeLimits,
): Pick<ContainerSpec, "oomScoreAdj" | "pidsLimit"> {
  const score = { oomScoreAdj: oomScoreAdj(pod, container, memoryBytes) };
  return processes === undefined ? score : { ...score, pidsLimit: processes };
}

/** As kubelet's MilliCPUToShares: a core is 1024 shares, at least 2. */
export function resourcesOf(container: Container): ContainerResources {
  const { limits, requests } = container.resources ?? {};
  const cpuLimit = quantityNumber(limits?.["cpu"]);
  const cpuRequest = quantityNumber(requests?.["cpu"]) ?? cpuLimit ?? 0;
  const memory = quantityNumber(limits?.["memory"]);
  return {
    cpuShares: Math.max(2, Math.floor(cpuRequest * 1024)),
    ...(cpuLimit ? { nanoCpus: Math.max(1e7, Math.round(cpuLimit * 1e9)) } : {}),
    ...(memory ? { memoryBytes: Math.round(memory) } : {}),
  };
}
