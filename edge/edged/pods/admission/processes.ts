import { AppError } from "#shared/errors";
import { recordOf } from "#shared/json";
import { runtimeHandlerField, type Container, type Pod } from "#shared/kube";

const scheme = "process://";
/** Of a RuntimeClass. */
const handler = "process";

/** Whether the containers of a pod are programs of the machine: by one of their images, or by its RuntimeClass. */
export function isOfProcesses(pod: Pod): boolean {
  return (
    handlerOf(pod) === handler || containersOf(pod).some(([, { image = "" }]) => image.startsWith(scheme))
  );
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
 * Refuses what means something for containers alone: no field is left out in silence. @param isAllowed whether this node runs
 * programs as pods
 * @throws AppError that names the field
 */
export function refuseForProcesses(pod: Pod, isAllowed: boolean): void {
  const fault = isAllowed ? (findPodField(pod) ?? findContainerField(pod)) : notAllowed(pod);
  if (fault !== undefined) throw new AppError("CreateContainerConfigError", fault);
}

function notAllowed(pod: Pod): string {
  const named = containersOf(pod).find(([, { image = "" }]) => image.startsWith(scheme));
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

function findContainerField(pod: Pod): string | undefined {
  const isByClass = handlerOf(pod) === handler;
  return firstOf(
    containersOf(pod).flatMap(([path, container]): Check[] => {
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

function containersOf({ spec }: Pod): (readonly [path: string, container: Container])[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((field) =>
    (spec[field] ?? []).map((one, index) => [`spec.${field}[${index}]`, one] as const),
  );
}
