import type { ContainerCreateOptions, HostConfig } from "dockerode";
import {
  containerName,
  toLabels,
  type ContainerSpec,
  type Network,
  type Owner,
  type PortBinding,
} from "#edge/runtime";

/** The body of Docker's `POST /containers/create` for a container of ours. */
export function createBody(spec: ContainerSpec, owner: Owner): ContainerCreateOptions {
  return {
    name: containerName(spec.identity),
    Image: spec.image,
    Labels: toLabels(spec.identity, owner),
    Env: [...spec.env],
    Tty: spec.tty,
    OpenStdin: spec.stdin,
    StdinOnce: spec.stdinOnce,
    ...commandOf(spec),
    ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...networkOf(spec.network),
    HostConfig: hostConfigOf(spec),
  };
}

/** Kubernetes: a given command drops the image's arguments too. */
function commandOf(spec: ContainerSpec): Partial<ContainerCreateOptions> {
  return {
    ...(spec.command === undefined ? {} : { Entrypoint: [...spec.command] }),
    ...(spec.args === undefined ? {} : { Cmd: [...spec.args] }),
  };
}

function networkOf(network: Network): Partial<ContainerCreateOptions> {
  if (network.kind !== "own") return {};
  const exposed = Object.fromEntries(network.ports.map((port) => [portKey(port), {}]));
  return { Hostname: network.hostname, ExposedPorts: exposed };
}

function hostConfigOf(spec: ContainerSpec): HostConfig {
  return {
    ...networkModeOf(spec.network),
    ...namespacesOf(spec),
    ...resourcesOf(spec),
    ...securityOf(spec),
    ...(spec.dns
      ? {
          Dns: [...spec.dns.servers],
          DnsSearch: [...spec.dns.searches],
          DnsOptions: [...spec.dns.options],
        }
      : {}),
    ExtraHosts: [...spec.extraHosts],
    Sysctls: { ...spec.sysctls },
    // Not `Binds`: there a colon in a path begins the next part, and a missing source is made.
    Mounts: spec.mounts.map(({ source, target, readOnly, propagation = "rprivate" }) => ({
      Type: "bind",
      Source: source,
      Target: target,
      ReadOnly: readOnly,
      BindOptions: { Propagation: propagation },
    })),
    RestartPolicy: { Name: "no" },
    LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3" } },
  };
}

function networkModeOf(network: Network): HostConfig {
  if (network.kind === "host") return { NetworkMode: "host" };
  if (network.kind === "sandbox") return { NetworkMode: `container:${network.id}` };
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const port of network.ports) {
    (bindings[portKey(port)] ??= []).push({ HostIp: port.hostIp, HostPort: String(port.hostPort) });
  }
  return { PortBindings: bindings };
}

function namespacesOf(spec: ContainerSpec): HostConfig {
  const ipc = spec.hostIpc ? "host" : spec.ipcFrom === undefined ? "shareable" : `container:${spec.ipcFrom}`;
  const pid =
    spec.pidFrom === undefined || spec.pidFrom === "host" ? spec.pidFrom : `container:${spec.pidFrom}`;
  return { IpcMode: ipc, ...(pid === undefined ? {} : { PidMode: pid }) };
}

/** Memory without swap on top, as Kubernetes means it. */
function resourcesOf(spec: ContainerSpec): HostConfig {
  return {
    ...(spec.cpuShares === undefined ? {} : { CpuShares: spec.cpuShares }),
    ...(spec.nanoCpus === undefined ? {} : { NanoCpus: spec.nanoCpus }),
    ...(spec.memoryBytes === undefined ? {} : { Memory: spec.memoryBytes, MemorySwap: spec.memoryBytes }),
    ...(spec.shmBytes === undefined ? {} : { ShmSize: spec.shmBytes }),
    ...(spec.oomScoreAdj === undefined ? {} : { OomScoreAdj: spec.oomScoreAdj }),
  };
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
      ...(spec.seccomp === undefined ? [] : [`seccomp=${spec.seccomp}`]),
      ...(spec.appArmor === undefined ? [] : [`apparmor=${spec.appArmor}`]),
      ...(spec.selinux ?? []).map((label) => `label=${label}`),
    ],
  };
}

function portKey(port: PortBinding): string {
  return `${port.containerPort}/${port.protocol}`;
}
