import { recordOf } from "#shared/json";
import type { Container, Pod } from "#shared/kube";
import type { ContainerSpec } from "#edge/runtime";
import { appArmorOf, seccompOf } from "./profiles.ts";
import { refuseUnknown, SecurityError, unserved } from "./refusal.ts";
import { sysctlsOf } from "./sysctls.ts";
import { userOf } from "./user.ts";

/** What this node allows and offers to pods. */
export interface NodeSecurity {
  /** Beyond Kubernetes' safe set; a name may end with "*". */
  readonly allowedUnsafeSysctls: readonly string[];
  /** Where seccomp profiles of type Localhost are. */
  readonly seccompDir: string;
  readonly appArmor: boolean;
}

const shared = [
  "runAsUser",
  "runAsGroup",
  "runAsNonRoot",
  "seLinuxOptions",
  "seccompProfile",
  "appArmorProfile",
  "windowsOptions",
];
const ofPod = [
  ...shared,
  "fsGroup",
  "fsGroupChangePolicy",
  "supplementalGroups",
  "supplementalGroupsPolicy",
  "seLinuxChangePolicy",
  "sysctls",
];
const ofContainer = [
  ...shared,
  "allowPrivilegeEscalation",
  "capabilities",
  "privileged",
  "procMount",
  "readOnlyRootFilesystem",
];

/**
 * Refuses a pod that asks for a protection, or a privilege, that this node does not have: no field of a security context
 * is ignored. @throws SecurityError
 */
export function refusePod(pod: Pod, node: NodeSecurity): void {
  const { spec } = pod;
  const context = spec.securityContext ?? {};
  const os = recordOf(spec["os"])["name"];
  if (os !== undefined && os !== "linux")
    throw new SecurityError("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS");
  refuseUnknown("spec.securityContext", { ...context }, ofPod);
  refuseWindows("spec.securityContext", context.windowsOptions);
  if (context.supplementalGroupsPolicy === "Strict")
    throw unserved("supplementalGroupsPolicy Strict is not supported on this node");
  if (spec["hostUsers"] === false) throw unserved("hostUsers: false is not supported on this node");
  sysctlsOf(pod, node.allowedUnsafeSysctls);
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) refuseContainer(container);
}

/** @throws SecurityError when this node cannot apply what the container asks for */
export function refuseContainer({ name, securityContext: context = {} }: Container): void {
  const what = `securityContext of container "${name}"`;
  refuseUnknown(what, { ...context }, ofContainer);
  refuseWindows(what, context.windowsOptions);
  if (context.procMount !== undefined && context.procMount !== "Default")
    throw unserved(`procMount ${context.procMount} of container "${name}" is not supported on this node`);
}

function refuseWindows(what: string, options: Readonly<Record<string, unknown>> | undefined): void {
  if (Object.keys(options ?? {}).length > 0)
    throw unserved(`windowsOptions of ${what} cannot be applied on Linux`);
}

export type ContainerSecurity = Pick<
  ContainerSpec,
  | "user"
  | "seccomp"
  | "appArmor"
  | "selinux"
  | "supplementalGroups"
  | "privileged"
  | "readOnlyRoot"
  | "noNewPrivileges"
  | "capAdd"
  | "capDrop"
>;

/** What a container's security context means for the engine. @throws SecurityError */
export function securityOf(
  pod: Pod,
  container: Container,
  { imageUser, node }: { readonly imageUser: string; readonly node: NodeSecurity },
): ContainerSecurity {
  const { privileged, readOnlyRootFilesystem, allowPrivilegeEscalation, capabilities } =
    container.securityContext ?? {};
  const user = userOf(pod, container, imageUser);
  const seccomp = seccompOf(pod, container, node.seccompDir);
  const appArmor = appArmorOf(pod, container, node.appArmor);
  return {
    ...(user === undefined ? {} : { user }),
    ...(seccomp === undefined ? {} : { seccomp }),
    ...(appArmor === undefined ? {} : { appArmor }),
    supplementalGroups: groupsOf(pod),
    privileged: privileged === true,
    readOnlyRoot: readOnlyRootFilesystem === true,
    noNewPrivileges: allowPrivilegeEscalation === false,
    capAdd: capabilities?.add ?? [],
    capDrop: capabilities?.drop ?? [],
    selinux: selinuxOf(pod, container),
  };
}

function groupsOf({ spec }: Pod): string[] {
  const { fsGroup, supplementalGroups = [] } = spec.securityContext ?? {};
  return [...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])].map(String);
}

function selinuxOf(pod: Pod, container: Container): string[] {
  const options = container.securityContext?.seLinuxOptions ?? pod.spec.securityContext?.seLinuxOptions ?? {};
  const { user, role, type, level } = options;
  return Object.entries({ user, role, type, level }).flatMap(([name, value]) =>
    value ? [`${name}:${value}`] : [],
  );
}
