import type { Pod } from "#shared/kube";
import { SecurityError } from "./refusal.ts";

type Namespace = "network" | "ipc";

/** Kubernetes' safe set of 1.26 to 1.32: they cannot disturb other pods. */
const safe: readonly string[] = [
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
];

/** The sysctls of a pod with dots. @throws SecurityError as kubelet refuses them; `allowed` may end with "*" */
export function sysctlsOf({ spec }: Pod, allowed: readonly string[]): Readonly<Record<string, string>> {
  const given = spec.securityContext?.sysctls ?? [];
  return Object.fromEntries(
    given.map(({ name, value }) => {
      const dotted = withDots(name);
      const namespace = namespaceOf(dotted);
      if (namespace === undefined || !isAllowed(dotted, allowed))
        throw forbidden(`"${dotted}" not allowlisted`);
      const isShared = namespace === "network" ? spec.hostNetwork : spec.hostIPC;
      if (isShared) throw forbidden(`"${dotted}" not allowed with host ${namespace} enabled`);
      return [dotted, value];
    }),
  );
}

function forbidden(why: string): SecurityError {
  return new SecurityError("SysctlForbidden", `forbidden sysctl: ${why}`);
}

function isAllowed(name: string, allowed: readonly string[]): boolean {
  return [...safe, ...allowed].some((pattern) =>
    pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === withDots(pattern),
  );
}

/** Those without a namespace of their own would be the host's. */
function namespaceOf(name: string): Namespace | undefined {
  if (name.startsWith("net.")) return "network";
  const isIpc =
    name.startsWith("fs.mqueue.") || name.startsWith("kernel.shm") || name.startsWith("kernel.msg");
  return isIpc || name === "kernel.sem" ? "ipc" : undefined;
}

/** `net/ipv4/conf/eth0.1/x` and `net.ipv4.conf.eth0/1.x` are the same. */
function withDots(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== "/") return name;
  return name.replace(/[./]/g, (sign) => (sign === "/" ? "." : "/"));
}
