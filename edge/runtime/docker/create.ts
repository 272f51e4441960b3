import type { ContainerCreateOptions, HostConfig } from "dockerode";
import {
  containerName,
  toLabels,
  type ContainerIdentity,
  type ContainerResources,
  type ContainerSpec,
  type ContainerOwner,
  type DeviceAccess,
  type PodNetwork,
  type PortBinding,
  type SandboxSpec,
} from "#edge/runtime";

/** Sizes of the log of one run of a container. */
export interface LogLimits {
  readonly fileBytes: number;
  readonly files: number;
}

export interface BodyOptions extends ContainerOwner {
  /** Those of kubelet by default. */
  readonly logs?: LogLimits & {
    /** Of all containers together; no bound by default. */
    readonly totalBytes?: number | undefined;
  };
}

/** kubelet's containerLogMaxSize and containerLogMaxFiles. */
const usualLogs: LogLimits = { fileBytes: 10 * 1024 * 1024, files: 5 };

/** The body of Docker's `POST /containers/create` for a container in a sandbox. */
export function containerBody(spec: ContainerSpec, owner: BodyOptions): ContainerCreateOptions {
  const sandbox = `container:${spec.identity.sandboxId}`;
  return {
    ...namesOf(spec.identity, owner),
    Image: spec.image,
    Env: [...spec.env],
    Tty: spec.tty,
    OpenStdin: spec.stdin,
    StdinOnce: spec.stdinOnce,
    ...commandOf(spec),
    ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    HostConfig: {
      ...always,
      ...runtimeOf(spec.sandbox),
      LogConfig: logOf(owner.logs ?? usualLogs),
      NetworkMode: sandbox,
      IpcMode: spec.ipc === "host" ? "host" : sandbox,
      ...pidModeOf(spec),
      ...resourcesOf(spec),
      ...limitsOf(spec),
      ...securityOf(spec),
      // Not `Binds`: there a colon in a path begins the next part, and a missing source is made.
      Mounts: spec.mounts.map(({ source, target, readOnly, propagation = "rprivate" }) => ({
        Type: "bind",
        Source: source,
        Target: target,
        ReadOnly: readOnly,
        BindOptions: { Propagation: propagation },
      })),
    },
  };
}

function pidModeOf({ pid, identity }: ContainerSpec): { readonly PidMode?: string } {
  if (pid === "container") return {};
  if (pid === "host") return { PidMode: "host" };
  return { PidMode: `container:${pid === "pod" ? identity.sandboxId : pid.ofContainer}` };
}

/** The body for the container that holds a pod's namespaces and does nothing else. */
export function sandboxBody(spec: SandboxSpec, image: string, owner: ContainerOwner): ContainerCreateOptions {
  const { network, dns } = spec;
  return {
    ...namesOf(spec.identity, owner),
    Image: image,
    ...(network.kind === "own"
      ? { Hostname: network.hostname, ExposedPorts: exposedPorts(network.ports) }
      : {}),
    HostConfig: {
      ...always,
      ...runtimeOf(spec),
      // It writes nothing.
      LogConfig: logOf({ fileBytes: 64 * 1024, files: 1 }),
      ...networkOf(network),
      IpcMode: spec.hostIpc ? "host" : "shareable",
      ...(dns ? { Dns: [...dns.servers], DnsSearch: [...dns.searches], DnsOptions: [...dns.options] } : {}),
      Sysctls: { ...spec.sysctls },
      // It waits for a signal, and needs no right for that.
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
    },
  };
}

/** edged restarts containers itself. */
const always: HostConfig = { RestartPolicy: { Name: "no" } };

function runtimeOf({ runtimeHandler }: SandboxSpec): HostConfig {
  return runtimeHandler === undefined ? {} : { Runtime: runtimeHandler };
}

/** Docker rotates the file, whatever its own default is. */
function logOf({ fileBytes, files }: LogLimits): NonNullable<HostConfig["LogConfig"]> {
  return { Type: "json-file", Config: { "max-size": String(fileBytes), "max-file": String(files) } };
}

function namesOf(
  identity: ContainerIdentity,
  owner: ContainerOwner,
): Pick<ContainerCreateOptions, "name" | "Labels"> {
  return { name: containerName(identity), Labels: toLabels(identity, owner) };
}

/** Kubernetes: a given command drops the image's arguments too. */
function commandOf(spec: ContainerSpec): Partial<ContainerCreateOptions> {
  return {
    ...(spec.command === undefined ? {} : { Entrypoint: [...spec.command] }),
    ...(spec.args === undefined ? {} : { Cmd: [...spec.args] }),
  };
}

function networkOf(network: PodNetwork): HostConfig {
  if (network.kind === "host") return { NetworkMode: "host" };
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of network.ports) {
    (bindings[portKey(port)] ??= []).push({ HostIp: port.hostIp, HostPort: String(port.hostPort) });
  }
  return { PortBindings: bindings };
}

function exposedPorts(ports: readonly PortBinding[]): Record<string, object> {
  return Object.fromEntries(ports.map((port) => [portKey(port), {}]));
}

/** Memory without swap on top, as Kubernetes means it. */
export function resourcesOf({ cpuShares, nanoCpus, memoryBytes }: ContainerResources): HostConfig {
  return {
    ...(cpuShares === undefined ? {} : { CpuShares: cpuShares }),
    ...(nanoCpus === undefined ? {} : { NanoCpus: nanoCpus }),
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
  };
}

function limitsOf(spec: ContainerSpec): HostConfig {
  return {
    ...(spec.oomScoreAdj === undefined ? {} : { OomScoreAdj: spec.oomScoreAdj }),
    ...(spec.devices ? { Devices: spec.devices.map(deviceOf) } : {}),
    ...(spec.pidsLimit === undefined ? {} : { PidsLimit: spec.pidsLimit }),
  };
}

function deviceOf({
  hostPath,
  containerPath,
  permissions,
}: DeviceAccess): NonNullable<HostConfig["Devices"]>[number] {
  return { PathOnHost: hostPath, PathInContainer: containerPath, CgroupPermissions: permissions };
}

function securityOf(spec: ContainerSpec): HostConfig {
  return {
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnlyRoot,
    CapAdd: [...spec.capAdd],
    CapDrop: [...spec.capDrop],
    GroupAdd: [...spec.supplementalGroups],
    SecurityOpt: [
      ...(spec.noNewPrivileges ? ["no-new-privileges"] : []),
      ...seccompOf(spec),
      ...(spec.appArmor === undefined ? [] : [`apparmor=${spec.appArmor}`]),
      ...(spec.selinux ?? []).map((label) => `label=${label}`),
    ],
  };
}

function seccompOf({ seccomp }: ContainerSpec): string[] {
  if (seccomp === undefined) return [];
  return [`seccomp=${seccomp === "unconfined" ? seccomp : seccomp.text}`];
}

function portKey(port: PortBinding): string {
  return `${port.containerPort}/${port.protocol}`;
}
