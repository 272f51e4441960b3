import { join, resolve } from "node:path";
import {
  toLabels,
  type ContainerIdentity,
  type ContainerOwner,
  type ContainerResources,
  type ContainerSpec,
  type Mount,
  type PodNetwork,
  type SandboxSpec,
} from "#edge/runtime";
import type {
  ContainerConfig,
  ContainerMount,
  NamespaceOptions,
  PortMapping,
  Resources,
  SandboxConfig,
} from "#edge/runtime/cri/api";
import { podResolver } from "#edge/runtime/pod-network";
import { securityContext } from "./security.ts";

export interface ConfigOptions extends ContainerOwner {
  readonly dataDir: string;
  /** As the engine's cgroup driver has it: "/kubeedge" or "kubeedge.slice". */
  readonly cgroupParent: string;
  /** Whether the kernel counts swap of control groups. */
  readonly limitsSwap: boolean;
}

/** The microseconds of `cpuQuota`, as kubelet's quotaPeriod; shorter quotas are refused by the kernel. */
const cpuPeriod = 100_000;
const leastQuota = 1000;

/** Directory of the logs of a pod; engines write the file of a container into it. */
export function logDirectory(dataDir: string, { podUid }: Pick<ContainerIdentity, "podUid">): string {
  return join(resolve(dataDir), "pods", podUid, "logs");
}

/** The log of a run of a container, below the directory of its pod, as kubelet names it. */
export function logPath({ container, attempt }: Pick<ContainerIdentity, "container" | "attempt">): string {
  return join(container, `${attempt}.log`);
}

/** The sandbox of a pod for `RunPodSandbox`, as kubelet's generatePodSandboxConfig. */
export function sandboxConfig(spec: SandboxSpec, options: ConfigOptions): SandboxConfig {
  const { identity, network, sysctls, privileged } = spec;
  const { podName: name, podNamespace: namespace, podUid: uid, attempt } = identity;
  const isHost = network.kind === "host";
  return {
    metadata: { name, namespace, uid, attempt },
    ...(isHost
      ? {}
      : { hostname: network.hostname, dnsConfig: podResolver(spec.dns), portMappings: portsOf(network) }),
    logDirectory: logDirectory(options.dataDir, identity),
    labels: toLabels(identity, options),
    annotations: {},
    linux: {
      cgroupParent: options.cgroupParent,
      securityContext: {
        namespaceOptions: namespacesOf(spec),
        privileged,
        seccomp: { profileType: "RuntimeDefault" },
      },
      sysctls,
    },
  };
}

function namespacesOf({ network, hostIpc, pid }: SandboxSpec): NamespaceOptions {
  return {
    network: network.kind === "host" ? "NODE" : "POD",
    ipc: hostIpc ? "NODE" : "POD",
    pid: ({ container: "CONTAINER", pod: "POD", host: "NODE" } as const)[pid],
  };
}

function portsOf(network: PodNetwork): PortMapping[] {
  if (network.kind === "host") return [];
  return network.ports.map(({ protocol, containerPort, hostPort, hostIp }) => ({
    protocol: ({ tcp: "TCP", udp: "UDP", sctp: "SCTP" } as const)[protocol],
    containerPort,
    hostPort,
    hostIp,
  }));
}

/** A container in a sandbox for `CreateContainer`, as kubelet's generateContainerConfig. */
export function containerConfig(spec: ContainerSpec, options: ConfigOptions): ContainerConfig {
  const { identity, command, args, workingDir, env, mounts, stdin, stdinOnce, tty } = spec;
  return {
    metadata: { name: identity.container, attempt: identity.attempt },
    image: { image: spec.image },
    ...(command && { command }),
    ...(args && { args }),
    ...(workingDir !== undefined && { workingDir }),
    envs: env.map(variableOf),
    mounts: mounts.map(mountOf),
    ...(spec.devices && { devices: [...spec.devices] }),
    labels: toLabels(identity, options),
    logPath: logPath(identity),
    stdin,
    stdinOnce,
    tty,
    linux: {
      resources: resourcesOf(spec, options),
      securityContext: securityContext(spec, containerNamespaces(spec)),
    },
  };
}

function containerNamespaces({ sandbox, pid, ipc }: ContainerSpec): NamespaceOptions {
  const shared = { ...namespacesOf(sandbox), ipc: ipc === "host" ? "NODE" : "POD" } as const;
  if (typeof pid === "object") return { ...shared, pid: "TARGET", targetId: pid.ofContainer };
  return { ...shared, pid: ({ container: "CONTAINER", pod: "POD", host: "NODE" } as const)[pid] };
}

function variableOf(text: string): { readonly key: string; readonly value: string } {
  const end = text.indexOf("=");
  return { key: text.slice(0, end), value: text.slice(end + 1) };
}

const propagations = {
  rprivate: "PROPAGATION_PRIVATE",
  rslave: "PROPAGATION_HOST_TO_CONTAINER",
  rshared: "PROPAGATION_BIDIRECTIONAL",
} as const;

function mountOf({ source, target, readOnly, propagation = "rprivate" }: Mount): ContainerMount {
  return {
    hostPath: source,
    containerPath: target,
    readonly: readOnly,
    propagation: propagations[propagation],
  };
}

/** Memory without swap on top, as Kubernetes means it. */
export function resourcesOf(
  spec: ContainerResources & Pick<ContainerSpec, "oomScoreAdj">,
  { limitsSwap }: Pick<ConfigOptions, "limitsSwap">,
): Resources {
  const { cpuShares, nanoCpus, memoryBytes, oomScoreAdj } = spec;
  return {
    ...(cpuShares !== undefined && { cpuShares }),
    ...(nanoCpus !== undefined && {
      cpuPeriod,
      cpuQuota: Math.max(leastQuota, Math.round((nanoCpus / 1e9) * cpuPeriod)),
    }),
    ...(memoryBytes !== undefined && { memoryLimitInBytes: memoryBytes }),
    ...(memoryBytes !== undefined && limitsSwap && { memorySwapLimitInBytes: memoryBytes }),
    ...(oomScoreAdj !== undefined && { oomScoreAdj }),
  };
}
