import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, ContainerState, Pod, PodSpec, SecurityContext } from "#shared/kube";
import { busyboxImage, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import {
  edgedWorld,
  idle,
  inPod,
  isRunning,
  podOf,
  shell,
  type EdgedWorld,
} from "#internal/test/support/edge/edged-world.ts";

setDefaultTimeout(60_000);
const owner = `sec-context-${process.pid}`;
const root = `kubeedge-sec-root-${process.pid}:1`;
const named = `kubeedge-sec-named-${process.pid}:1`;
const numeric = `kubeedge-sec-numeric-${process.pid}:1`;

function pod(name: string, image: string, own: SecurityContext, spec: Partial<PodSpec> = {}): Pod {
  const container: Container = shell(image, idle, { securityContext: own });
  return podOf(name, { containers: [container], ...spec });
}

async function waiting(at: EdgedWorld, wanted: Pod): Promise<ContainerState["waiting"]> {
  const state = (): ContainerState | undefined =>
    at.edge.status(wanted.metadata.uid ?? "")?.containerStatuses?.[0]?.state;
  await at.edge.apply(wanted);
  await at.edge.until("waiting with a message", () => state()?.waiting?.message !== undefined);
  return state()?.waiting;
}

async function running(at: EdgedWorld, wanted: Pod): Promise<void> {
  await at.edge.apply(wanted);
  await at.edge.until("running", () => isRunning(at.edge, wanted));
}

describe.skipIf(!hasEngine())("a security context", () => {
  const made: Disposable[] = [];
  beforeAll(() => {
    made.push(busyboxImage(root), busyboxImage(named, ["USER app"]), busyboxImage(numeric, ["USER 1234:7"]));
  });
  afterAll(() => {
    for (const image of made) image[Symbol.dispose]();
  });

  test("with runAsNonRoot starts no container as root, and reports it as kubelet does", async () => {
    await using at = await edgedWorld(owner);
    const who = (name: string): string => `(pod: "${name}_default(${name}-${process.pid})", container: c)`;
    const nonRoot = { runAsNonRoot: true };
    const onPod = { securityContext: { ...nonRoot } };
    expect(await waiting(at, pod("image", root, {}, onPod))).toEqual({
      reason: "CreateContainerConfigError",
      message: `container has runAsNonRoot and image will run as root ${who("image")}`,
    });
    expect((await waiting(at, pod("user", numeric, { ...nonRoot, runAsUser: 0 })))?.message).toBe(
      `container's runAsUser breaks non-root policy ${who("user")}`,
    );
    expect((await waiting(at, pod("named", named, nonRoot)))?.message).toBe(
      `container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root ${who("named")}`,
    );
    const failed = at.edge.events.find(({ reason }) => reason === "Failed");
    expect([failed?.message, failed?.involvedObject.fieldPath]).toEqual([
      `Error: container has runAsNonRoot and image will run as root ${who("image")}`,
      "spec.containers{c}",
    ]);
    const good = pod("good", numeric, nonRoot);
    await running(at, good);
    expect(inPod(good, "c", "id -u; id -g")).toBe("1234\n7");
  });

  test("with a group alone keeps the user of the image", async () => {
    await using at = await edgedWorld(owner);
    const grouped = pod("grouped", numeric, { runAsGroup: 99 });
    await running(at, grouped);
    expect(inPod(grouped, "c", "id -u; id -g")).toBe("1234\n99");
  });

  test("is applied to users, groups, capabilities, privileges, seccomp, root and shared processes", async () => {
    await using at = await edgedWorld(owner);
    const own: SecurityContext = {
      runAsUser: 1000,
      runAsGroup: 1001,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"], add: ["NET_BIND_SERVICE"] },
      seccompProfile: { type: "RuntimeDefault" },
    };
    const narrow = pod("narrow", root, own, {
      shareProcessNamespace: true,
      securityContext: {
        runAsUser: 5,
        fsGroup: 2000,
        supplementalGroups: [2001],
        sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "80" }],
      },
    });
    await running(at, narrow);
    const seen = inPod(
      narrow,
      "c",
      "id -u; id -g; id -G; (echo x > /f) 2>&1; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/1/status | grep Name",
    );
    expect(seen.split("\n").map((line) => line.replace(/\s+/g, " "))).toEqual([
      "1000",
      "1001",
      "1001 2000 2001",
      "sh: can't create /f: Read-only file system",
      "CapBnd: 0000000000000400",
      "NoNewPrivs: 1",
      "Seccomp: 2",
      "80",
      "Name: pause",
    ]);
    const wide = pod("wide", root, {
      capabilities: { add: ["SYS_PTRACE"], drop: ["CHOWN"] },
      seccompProfile: { type: "Unconfined" },
    });
    await running(at, wide);
    const free = inPod(wide, "c", "grep -E 'CapEff|Seccomp:' /proc/self/status").replace(/\s+/g, " ");
    expect(free).toBe("CapEff: 00000000a80c25fa Seccomp: 0");
  });

  test("of seccomp type Localhost uses the node's own profile, and refuses to start without it", async () => {
    await using at = await edgedWorld(owner);
    mkdirSync(join(at.dataDir, "seccomp"));
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
    const profile = { defaultAction: "SCMP_ACT_ALLOW", syscalls };
    writeFileSync(join(at.dataDir, "seccomp/no-mkdir.json"), JSON.stringify(profile));
    const local = (name: string, localhostProfile: string): Pod =>
      pod(name, root, { seccompProfile: { type: "Localhost", localhostProfile } });
    const strict = local("strict", "no-mkdir.json");
    await running(at, strict);
    expect(inPod(strict, "c", "mkdir /d 2>&1; true")).toContain("Operation not permitted");
    expect((await waiting(at, local("missing", "none.json")))?.message).toContain(
      "cannot load seccomp profile",
    );
    expect((await waiting(at, local("leaves", "../edgecore.db")))?.message).toContain(
      "invalid seccomp profile name",
    );
  });

  test("that this node cannot apply refuses the pod with an event and a reason", async () => {
    await using at = await edgedWorld(owner);
    const unsafe = { securityContext: { sysctls: [{ name: "kernel.msgmax", value: "1" }] } };
    expect(await waiting(at, pod("unsafe", root, {}, unsafe))).toEqual({
      reason: "SysctlForbidden",
      message: 'forbidden sysctl: "kernel.msgmax" not allowlisted',
    });
    expect(await waiting(at, pod("mapped", root, {}, { hostUsers: false }))).toEqual({
      reason: "CreateContainerConfigError",
      message: "hostUsers: false is not supported on this node",
    });
    expect(at.edge.events.map(({ reason, message }) => `${reason}: ${message}`)).toEqual(
      expect.arrayContaining([
        'SysctlForbidden: forbidden sysctl: "kernel.msgmax" not allowlisted',
        "FailedCreatePodSandBox: Failed to create pod sandbox: hostUsers: false is not supported on this node",
      ]),
    );
    expect(await at.runtime.list()).toEqual([]);
  });
});
