import type { ContainerSpec } from "#edge/runtime";
import type { NamespaceOptions, SecurityContext, SecurityProfile } from "#edge/runtime/cri/api";

/** kubelet's defaultMaskedPaths and defaultReadonlyPaths (`pkg/securitycontext/util.go`); engines leave them out if privileged. */
const maskedPaths = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** The security context of a container, as kubelet's determineEffectiveSecurityContext. */
export function securityContext(spec: ContainerSpec, namespaceOptions: NamespaceOptions): SecurityContext {
  const { privileged, selinux = [] } = spec;
  return {
    capabilities: {
      addCapabilities: spec.capAdd.map(plainCapability),
      dropCapabilities: spec.capDrop.map(plainCapability),
    },
    privileged,
    namespaceOptions,
    ...(selinux.length > 0 && { selinuxOptions: selinuxOf(selinux) }),
    ...userOf(spec.user),
    readonlyRootfs: spec.readOnlyRoot,
    supplementalGroups: spec.supplementalGroups.map(Number),
    noNewPrivs: spec.noNewPrivileges,
    maskedPaths: privileged ? [] : maskedPaths,
    readonlyPaths: privileged ? [] : readonlyPaths,
    seccomp: profileOf(typeof spec.seccomp === "object" ? spec.seccomp.path : spec.seccomp),
    ...(spec.appArmor !== undefined && { apparmor: profileOf(spec.appArmor) }),
  };
}

/** Engines of the CRI put "CAP_" before the name. */
function plainCapability(name: string): string {
  return name.replace(/^CAP_/i, "");
}

function selinuxOf(labels: readonly string[]): NonNullable<SecurityContext["selinuxOptions"]> {
  return Object.fromEntries(
    labels.map((label) => {
      const end = label.indexOf(":");
      return [label.slice(0, end), label.slice(end + 1)];
    }),
  );
}

/** `user` or `user:group`, each a name or a number; the CRI takes no name of a group. */
function userOf(
  user: string | undefined,
): Pick<SecurityContext, "runAsUser" | "runAsUsername" | "runAsGroup"> {
  if (user === undefined || user === "") return {};
  const [name = "", group] = user.split(":");
  if (group !== undefined && !/^\d+$/.test(group)) return { runAsUsername: user };
  return {
    ...(/^\d+$/.test(name) ? { runAsUser: { value: Number(name) } } : { runAsUsername: name }),
    ...(group !== undefined && { runAsGroup: { value: Number(group) } }),
  };
}

function profileOf(profile: string | undefined): SecurityProfile {
  if (profile === undefined) return { profileType: "RuntimeDefault" };
  if (profile === "unconfined") return { profileType: "Unconfined" };
  return { profileType: "Localhost", localhostRef: profile };
}
