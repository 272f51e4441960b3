import { AppError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { runtimeHandlerField, type Container, type Pod } from "#shared/kube";
import type { PodProcesses } from "#edge/runtime";

const scheme = "process://";
/** Of a RuntimeClass. */
const handler = "process";

/** What all containers of a pod are: programs of the machine, or containers of an engine. */
export type PodKind = "processes" | "containers";

/**
 * The kind of a pod: that of what runs of it, and for a new one by its specification. It stays with it: an update of its images does
 * not make it a pod of the other kind.
 */
export function kindOf(pod: Pod, processes: Pick<PodProcesses, "holds"> | undefined): PodKind {
  if (processes?.holds(pod.metadata.uid ?? "")) return "processes";
  return isOfProcesses(pod) && !hasEngineContainers(pod) ? "processes" : "containers";
}

/** By its RuntimeClass, or one of its images. Ephemeral containers, which a pod gets while it runs, say nothing of it. */
function isOfProcesses(pod: Pod): boolean {
  return handlerOf(pod) === handler || lastingContainersOf(pod).some(([, one]) => isProgram(one));
}

/** Whether an engine has made containers of a pod, by its status. */
function hasEngineContainers({ status }: Pod): boolean {
  const all = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  return all.some(({ containerID = "" }) => containerID !== "" && !containerID.startsWith(scheme));
}

/** As it is run: processes have the network of the node, where each port of a container is one of the node. */
export function onHostNetwork(pod: Pod): Pod {
  const withPorts = (list: readonly Container[]): Container[] =>
    list.map((one) =>
      one.ports
        ? { ...one, ports: one.ports.map((port) => ({ ...port, hostPort: port.containerPort })) }
        : one,
    );
  const { containers, initContainers } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      hostNetwork: true,
      containers: withPorts(containers),
      ...(initContainers && { initContainers: withPorts(initContainers) }),
    },
  };
}

/**
 * Refuses what means something for containers alone in a pod of processes: no field is left out in silence. Ephemeral containers
 * are looked at one by one. @param isAllowed whether this node runs programs as pods
 * @throws AppError that names the field
 */
export function refuseForProcesses(pod: Pod, isAllowed: boolean): void {
  const fault = isAllowed
    ? (findPodField(pod) ?? findContainerField(pod, lastingContainersOf(pod)))
    : notAllowed(pod);
  if (fault !== undefined) throw new AppError("CreateContainerConfigError", fault);
}

/**
 * Refuses a container of the other kind than its pod, such as an update or `kubectl debug` puts into it.
 * @throws AppError that names the field
 */
export function refuseOtherKind(pod: Pod, container: Container, kind: PodKind): void {
  const own = containersOf(pod).filter(([, { name }]) => name === container.name);
  const fault = kind === "processes" ? findContainerField(pod, own) : findProgram(own);
  if (fault !== undefined) throw new AppError("CreateContainerConfigError", fault);
}

function findProgram(all: readonly PlacedContainer[]): string | undefined {
  const found = all.find(([, one]) => isProgram(one));
  return found && `${found[0]}.image ${found[1].image}: this pod has containers, and no programs`;
}

function isProgram({ image = "" }: Container): boolean {
  return image.startsWith(scheme);
}

function notAllowed(pod: Pod): string {
  const named = lastingContainersOf(pod).find(([, one]) => isProgram(one));
  const what = named
    ? `${named[0]}.image ${named[1].image}`
    : `spec.runtimeClassName ${pod.spec.runtimeClassName}`;
  return `${what}: processes are not allowed on this node (edged.processes.enabled)`;
}

type Check = readonly [field: string, isGiven: boolean];

function findPodField(pod: Pod): string | undefined {
  const { spec, metadata } = pod;
  const context = spec.securityContext ?? {};
  const annotations = Object.entries(metadata.annotations ?? {});
  const other = handlerOf(pod);
  return firstOf([
    [`spec.runtimeClassName ${spec.runtimeClassName}`, other !== "" && other !== handler],
    ["spec.hostPID", spec.hostPID === true],
    ["spec.shareProcessNamespace", spec["shareProcessNamespace"] === true],
    ["spec.dnsPolicy None", spec.dnsPolicy === "None"],
    ["spec.dnsConfig", Object.keys(spec.dnsConfig ?? {}).length > 0],
    ["spec.securityContext.sysctls", (context.sysctls ?? []).length > 0],
    ...profileChecks("spec.securityContext", context),
    [
      "an AppArmor annotation",
      annotations.some(([name, value]) => name.startsWith("container.apparmor.") && value !== "unconfined"),
    ],
  ]);
}

function findContainerField(pod: Pod, all: readonly PlacedContainer[]): string | undefined {
  const isByClass = handlerOf(pod) === handler;
  return firstOf(
    all.flatMap(([path, container]): Check[] => {
      const { image = "", securityContext: context = {}, resources, tty, stdin } = container;
      const devices = Object.keys(resources?.limits ?? {}).find((name) => name.includes("/"));
      return [
        [`${path}.image ${image} beside images of processes`, !isByClass && !image.startsWith(scheme)],
        [`${path}.tty`, tty === true],
        [`${path}.stdin`, stdin === true],
        [`${path}.targetContainerName`, Boolean(recordOf(container)["targetContainerName"])],
        [`${path}.resources.limits.${devices}`, devices !== undefined],
        [`${path}.securityContext.privileged`, context.privileged === true],
        [`${path}.securityContext.capabilities.add`, (context.capabilities?.add ?? []).length > 0],
        [`${path}.securityContext.readOnlyRootFilesystem`, context.readOnlyRootFilesystem === true],
        ...profileChecks(`${path}.securityContext`, context),
      ];
    }),
  );
}

interface Profiles {
  readonly seccompProfile?: { readonly type: string };
  readonly appArmorProfile?: { readonly type: string };
  readonly seLinuxOptions?: object;
}

/** Programs of the machine have its own profiles. */
function profileChecks(
  path: string,
  { seccompProfile, appArmorProfile, seLinuxOptions = {} }: Profiles,
): Check[] {
  const isGiven = (profile: { readonly type: string } | undefined): boolean =>
    profile !== undefined && profile.type !== "Unconfined";
  return [
    [`${path}.seccompProfile`, isGiven(seccompProfile)],
    [`${path}.appArmorProfile`, isGiven(appArmorProfile)],
    [`${path}.seLinuxOptions`, Object.keys(seLinuxOptions).length > 0],
  ];
}

function firstOf(checks: readonly Check[]): string | undefined {
  const field = checks.find(([, isGiven]) => isGiven)?.[0];
  return field && `${field} is not supported for processes`;
}

function handlerOf(pod: Pod): string {
  const given = pod[runtimeHandlerField];
  return typeof given === "string" ? given : (pod.spec.runtimeClassName ?? "");
}

type PlacedContainer = readonly [path: string, container: Container];

/** Without the ephemeral ones. */
function lastingContainersOf(pod: Pod): PlacedContainer[] {
  return containersOf(pod).filter(([path]) => !path.startsWith("spec.ephemeralContainers"));
}

function containersOf({ spec }: Pod): PlacedContainer[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((field) =>
    (spec[field] ?? []).map((one, index) => [`spec.${field}[${index}]`, one] as const),
  );
}
