import { expect, test } from "bun:test";
import type { Container, Pod, PodSecurityContext, PodSpec, SecurityContext } from "#shared/kube";
import { refusePod, securityOf, sysctlsOf, type NodeSecurity } from "#edge/edged/security-context";

const node: NodeSecurity = {
  allowedUnsafeSysctls: ["kernel.msg*", "net.core.somaxconn"],
  seccompDir: "/nowhere",
  appArmor: true,
};

function podOf(spec: Partial<PodSpec>, own: SecurityContext = {}): Pod {
  const containers: Container[] = [{ name: "c", image: "web:1", securityContext: own }];
  return { metadata: { name: "web", namespace: "default", uid: "u" }, spec: { containers, ...spec } };
}

function refusal(run: () => unknown): string {
  try {
    run();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test.each<[Partial<PodSpec>, string]>([
  [{ hostUsers: false }, "hostUsers: false is not supported on this node"],
  [{ os: { name: "windows" } }, "Failed to admit pod as the OS field doesn't match node OS"],
  [
    { securityContext: { supplementalGroupsPolicy: "Strict" } },
    "supplementalGroupsPolicy Strict is not supported on this node",
  ],
  [
    { securityContext: { windowsOptions: { runAsUserName: "x" } } },
    "windowsOptions of spec.securityContext cannot be applied on Linux",
  ],
  [
    { securityContext: { newField: true } as PodSecurityContext },
    "spec.securityContext.newField is not supported on this node",
  ],
  [{ os: { name: "linux" }, hostUsers: true }, ""],
  [{ securityContext: { fsGroup: 1, fsGroupChangePolicy: "OnRootMismatch", runAsUser: 1 } }, ""],
])("refusePod of %j gives %p", (spec, expected) => {
  expect(refusal(() => refusePod(podOf(spec), node))).toBe(expected);
});

test.each<[SecurityContext, string]>([
  [{ procMount: "Unmasked" }, 'procMount Unmasked of container "c" is not supported on this node'],
  [
    { windowsOptions: { hostProcess: true } },
    'windowsOptions of securityContext of container "c" cannot be applied on Linux',
  ],
  [
    { oomPolicy: 1 } as SecurityContext,
    'securityContext of container "c".oomPolicy is not supported on this node',
  ],
  [{ procMount: "Default", privileged: true }, ""],
])("refusePod of a container with %j gives %p", (own, expected) => {
  expect(refusal(() => refusePod(podOf({}, own), node))).toBe(expected);
  const init = {
    ...podOf({}),
    spec: { containers: [{ name: "m" }], initContainers: podOf({}, own).spec.containers },
  };
  expect(refusal(() => refusePod(init, node))).toBe(expected);
});

test.each<[string, Partial<PodSpec>, string]>([
  ["net.ipv4.tcp_syncookies", {}, "net.ipv4.tcp_syncookies=1"],
  ["net/ipv4/ping_group_range", {}, "net.ipv4.ping_group_range=1"],
  ["kernel.msgmax", {}, "kernel.msgmax=1"],
  ["net.core.somaxconn", {}, "net.core.somaxconn=1"],
  ["kernel.sem", {}, 'forbidden sysctl: "kernel.sem" not allowlisted'],
  ["net.ipv4.ip_forward", {}, 'forbidden sysctl: "net.ipv4.ip_forward" not allowlisted'],
  ["kernel.panic", {}, 'forbidden sysctl: "kernel.panic" not allowlisted'],
  [
    "net.core.somaxconn",
    { hostNetwork: true },
    'forbidden sysctl: "net.core.somaxconn" not allowed with host network enabled',
  ],
  ["kernel.msgmax", { hostIPC: true }, 'forbidden sysctl: "kernel.msgmax" not allowed with host ipc enabled'],
])("sysctl %s of a pod with %j is %p", (name, spec, expected) => {
  const pod = podOf({ ...spec, securityContext: { sysctls: [{ name, value: "1" }] } });
  const result = refusal(() => {
    throw new Error(
      Object.entries(sysctlsOf(pod, node.allowedUnsafeSysctls))
        .map((pair) => pair.join("="))
        .join(),
    );
  });
  expect(result).toBe(expected);
});

test("no operator's list allows a sysctl that the host shares with its pods", () => {
  const pod = podOf({ securityContext: { sysctls: [{ name: "kernel.core_pattern", value: "|/x" }] } });
  expect(refusal(() => sysctlsOf(pod, ["kernel.*"]))).toContain("not allowlisted");
});

test.each<[PodSecurityContext, SecurityContext, string, string | undefined]>([
  [{}, {}, "app", undefined],
  [{ runAsUser: 5 }, {}, "app", "5"],
  [{ runAsUser: 5, runAsGroup: 6 }, { runAsUser: 0 }, "app", "0:6"],
  [{ runAsGroup: 6 }, {}, "app:app", "app:6"],
  [{}, { runAsGroup: 6 }, "", "0:6"],
  [{ runAsNonRoot: true }, {}, "7", "7"],
  [{ runAsNonRoot: true }, { runAsNonRoot: false }, "", undefined],
  [{ runAsNonRoot: true }, {}, "", "image will run as root"],
  [{ runAsNonRoot: true }, {}, ":5", "image will run as root"],
  [{ runAsNonRoot: true }, {}, "00:5", "image will run as root"],
  [{ runAsNonRoot: true }, {}, "+0", "image will run as root"],
  [{ runAsNonRoot: true }, {}, "root", "non-numeric user (root)"],
  [{ runAsNonRoot: true }, {}, "0x0", "non-numeric user (0x0)"],
  [{ runAsUser: 0 }, { runAsNonRoot: true }, "7", "breaks non-root policy"],
])("a pod with %j, a container with %j and image user %p runs as %p", (ofPod, own, imageUser, expected) => {
  const pod = podOf({ securityContext: ofPod }, own);
  const [container = { name: "c" }] = pod.spec.containers;
  const run = (): string | undefined => securityOf(pod, container, { imageUser, node }).user;
  if (expected?.includes(" ")) expect(refusal(run)).toContain(expected);
  else expect(run()).toBe(expected);
});

test("SELinux and AppArmor are passed on, of the container before the pod, annotations too", () => {
  const pod = podOf(
    {
      securityContext: {
        seLinuxOptions: { level: "s0:c1" },
        appArmorProfile: { type: "Localhost", localhostProfile: "pods" },
      },
    },
    { seLinuxOptions: { type: "t", level: "s0:c2" } },
  );
  const [container = { name: "c" }] = pod.spec.containers;
  const { selinux, appArmor } = securityOf(pod, container, { imageUser: "", node });
  expect([selinux, appArmor]).toEqual([["type:t", "level:s0:c2"], "pods"]);
  const annotated = (value: string): Pod => ({
    ...podOf({}),
    metadata: { annotations: { "container.apparmor.security.beta.kubernetes.io/c": value } },
  });
  const profile = (value: string, appArmorOn = true): string | undefined =>
    securityOf(annotated(value), { name: "c" }, { imageUser: "", node: { ...node, appArmor: appArmorOn } })
      .appArmor;
  expect(["runtime/default", "unconfined", "localhost/mine"].map((value) => profile(value))).toEqual([
    undefined,
    "unconfined",
    "mine",
  ]);
  expect(profile("unconfined", false)).toBe("unconfined");
  expect(refusal(() => profile("runtime/default", false))).toBe(
    "Cannot enforce AppArmor: AppArmor is not enabled on the host",
  );
  expect(refusal(() => profile("localhost/"))).toContain("invalid AppArmor profile");
});
