import { expect, test } from "bun:test";
import type { ContainerSpec } from "#edge/runtime";
import { containerConfig, sandboxConfig } from "#internal/edge/runtime/cri/create.ts";
import { container, sandbox } from "#internal/test/edge/runtime/plain-specs.ts";

const options = { owner: "n-1", dataDir: "/data", cgroupParent: "/kubeedge", limitsSwap: false };

const contextOf = (over: Partial<ContainerSpec>) =>
  containerConfig({ ...container, ...over }, options).linux.securityContext;

test("a sandbox and its containers are named as by kubelet, with logs in the directory of the pod", () => {
  const { metadata, logDirectory, hostname } = sandboxConfig(sandbox, options);
  const made = containerConfig(container, options);
  expect({ metadata, logDirectory, hostname }).toEqual({
    metadata: { name: "web", namespace: "default", uid: "u", attempt: 2 },
    logDirectory: "/data/pods/u/logs",
    hostname: "web",
  });
  expect([made.metadata, made.logPath]).toEqual([{ name: "c", attempt: 2 }, "c/2.log"]);
});

test("a sandbox in the host's network has neither a host name, ports nor a resolver", () => {
  const config = sandboxConfig(
    { ...sandbox, network: { kind: "host" }, pid: "host", hostIpc: true },
    options,
  );
  expect([config.hostname, config.portMappings, config.dnsConfig]).toEqual([undefined, undefined, undefined]);
  expect(config.linux.securityContext.namespaceOptions).toEqual({
    network: "NODE",
    pid: "NODE",
    ipc: "NODE",
  });
});

test("ports of a sandbox are mapped with their protocol and address", () => {
  const ports = [{ containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1", protocol: "udp" }] as const;
  const { portMappings } = sandboxConfig(
    { ...sandbox, network: { kind: "own", hostname: "web", ports } },
    options,
  );
  expect(portMappings).toEqual([{ protocol: "UDP", containerPort: 53, hostPort: 5353, hostIp: "127.0.0.1" }]);
});

test.each([
  ["container", { pid: "CONTAINER" }],
  ["pod", { pid: "POD" }],
  ["host", { pid: "NODE" }],
  [{ ofContainer: "t" }, { pid: "TARGET", targetId: "t" }],
] as const)("a container with the processes of %p has %p", (pid, expected) => {
  expect(contextOf({ pid }).namespaceOptions).toEqual({ network: "POD", ipc: "POD", ...expected });
});

test.each([
  ["1000", { runAsUser: { value: 1000 } }],
  ["1000:50", { runAsUser: { value: 1000 }, runAsGroup: { value: 50 } }],
  ["app", { runAsUsername: "app" }],
  ["app:0", { runAsUsername: "app", runAsGroup: { value: 0 } }],
  ["1000:staff", { runAsUsername: "1000:staff" }],
])("user %s is %p", (user, expected) => {
  const { runAsUser, runAsUsername, runAsGroup } = contextOf({ user });
  const given = { runAsUser, runAsUsername, runAsGroup };
  expect(JSON.parse(JSON.stringify(given))).toEqual(expected);
});

test("a limit of cpu is a quota, and one of memory allows no swap where it is counted", () => {
  const spec = { ...container, nanoCpus: 5e8, memoryBytes: 1000, cpuShares: 2, oomScoreAdj: 5 };
  const resources = (limitsSwap: boolean) =>
    containerConfig(spec, { ...options, limitsSwap }).linux.resources;
  const always = {
    cpuPeriod: 100_000,
    cpuQuota: 50_000,
    memoryLimitInBytes: 1000,
    cpuShares: 2,
    oomScoreAdj: 5,
  };
  expect([resources(false), resources(true)]).toEqual([always, { ...always, memorySwapLimitInBytes: 1000 }]);
});

test("profiles are the engine's own, none, or those of this node", () => {
  const profile = { path: "/data/seccomp/p.json", text: "{}" };
  const given = [
    contextOf({}),
    contextOf({ seccomp: "unconfined" }),
    contextOf({ seccomp: profile, appArmor: "mine" }),
  ];
  expect(given.map(({ seccomp, apparmor }) => [seccomp, apparmor])).toEqual([
    [{ profileType: "RuntimeDefault" }, undefined],
    [{ profileType: "Unconfined" }, undefined],
    [
      { profileType: "Localhost", localhostRef: "/data/seccomp/p.json" },
      { profileType: "Localhost", localhostRef: "mine" },
    ],
  ]);
});

test("a privileged container has no masked paths, and capabilities have no prefix", () => {
  const context = contextOf({ privileged: true, capAdd: ["CAP_NET_ADMIN", "SYS_TIME"], selinux: ["type:t"] });
  expect([context.maskedPaths, context.readonlyPaths]).toEqual([[], []]);
  expect(context.capabilities.addCapabilities).toEqual(["NET_ADMIN", "SYS_TIME"]);
  expect(context.selinuxOptions).toEqual({ type: "t" });
});

test("values of variables may contain the sign", () => {
  expect(containerConfig({ ...container, env: ["A=b=c", "B="] }, options).envs).toEqual([
    { key: "A", value: "b=c" },
    { key: "B", value: "" },
  ]);
});
