import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { Container, Pod, PodSpec } from "#shared/kube";
import { eventually, freePorts } from "#internal/scripts/service.ts";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import type { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { edgedWorld } from "#internal/test/support/edge/edged-world.ts";

const owner = `edged-${process.pid}`;
const image = `kubeedge-edged-${process.pid}:1`;
const sleeper: Container = {
  name: "c",
  image,
  command: ["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"],
};
setDefaultTimeout(60_000);

function makePod(name: string, spec: Partial<PodSpec> = {}): Pod {
  const whole = { terminationGracePeriodSeconds: 2, containers: [sleeper], ...spec };
  return { metadata: { name, namespace: "default", uid: `${name}-${process.pid}` }, spec: whole };
}

function containers(pod: Pod, state = "running"): string[] {
  const uid = `label=io.kubernetes.pod.uid=${pod.metadata.uid}`;
  return docker(
    "ps",
    "-a",
    "--no-trunc",
    "--filter",
    uid,
    "--filter",
    `status=${state}`,
    "--format",
    "{{.ID}} {{.Names}}",
  )
    .split("\n")
    .filter(Boolean);
}

function deleted(pod: Pod): Pod {
  const metadata = {
    ...pod.metadata,
    deletionTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: 1,
  };
  return { ...pod, metadata };
}

const isRunning =
  (edge: EdgedHarness, pod: Pod, restarts = 0) =>
  (): boolean => {
    const status = edge.status(pod.metadata.uid ?? "");
    const [first] = status?.containerStatuses ?? [];
    return status?.phase === "Running" && first?.ready === true && first.restartCount === restarts;
  };

describe.skipIf(!hasEngine())("edged on Docker", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("runs a pod with port, files and environment, brings new files in place, and ends it when it is deleted", async () => {
    await using at = await edgedWorld(owner);
    const { edge, dataDir } = at;
    const page = (text: string) => ({
      metadata: { name: "page", namespace: "default" },
      data: { "index.html": text },
    });
    await edge.configure("configmap", "page", page("one"));
    const [port = 0] = freePorts(1);
    const server: Container = {
      name: "web",
      image,
      command: ["sh", "-c", "echo $GREETING > /tmp/env; exec httpd -f -p 80 -h /www"],
      env: [{ name: "GREETING", valueFrom: { configMapKeyRef: { name: "page", key: "index.html" } } }],
      ports: [{ containerPort: 80, hostPort: port }],
      volumeMounts: [{ name: "www", mountPath: "/www" }],
      readinessProbe: { httpGet: { path: "/index.html", port: 80 }, periodSeconds: 1 },
    };
    const pod = makePod("web", {
      containers: [server],
      volumes: [{ name: "www", configMap: { name: "page" } }],
    });
    await edge.apply(pod);
    await edge.until("running", isRunning(edge, pod));
    const status = edge.status(pod.metadata.uid ?? "");
    expect({
      qos: status?.qosClass,
      hostIP: status?.hostIP,
      ready: status?.conditions?.map((one) => one.status),
    }).toEqual({
      qos: "BestEffort",
      hostIP: "192.0.2.2",
      ready: ["True", "True", "True", "True"],
    });
    const url = `http://127.0.0.1:${port}/index.html`;
    expect(await (await fetch(url)).text()).toBe("one");
    const [web] = containers(pod).filter((line) => line.includes("k8s_web_"));
    expect(docker("exec", web?.split(" ")[0] ?? "", "cat", "/tmp/env")).toBe("one");
    await edge.configure("configmap", "page", page("two"));
    await eventually(5000, async () => expect(await (await fetch(url)).text()).toBe("two"));
    await edge.apply(deleted(pod));
    await edge.until("terminated", () => edge.terminated.length === 1);
    expect([...containers(pod), ...containers(pod, "exited")]).toEqual([]);
    expect(existsSync(join(dataDir, "pods", pod.metadata.uid ?? ""))).toBe(false);
    expect(edge.reasons()).toEqual(expect.arrayContaining(["Pulled", "Created", "Started", "Killing"]));
    expect(edge.errors).toEqual([]);
  });

  test("a Guaranteed pod runs with the least OOM score that the engine allows, and with its limit of processes", async () => {
    await using at = await edgedWorld(owner, { podPidsLimit: 77 });
    const { edge } = at;
    const limits = { cpu: "100m", memory: "32Mi" };
    const pod = makePod("spared", { containers: [{ ...sleeper, resources: { limits } }] });
    await edge.apply(pod);
    await edge.until("running", isRunning(edge, pod));
    const [name = ""] = containers(pod).filter((line) => line.includes("k8s_c_"));
    const id = name.split(" ")[0] ?? "";
    const [score, pids] = docker(
      "inspect",
      "-f",
      "{{.HostConfig.OomScoreAdj}} {{.HostConfig.PidsLimit}}",
      id,
    ).split(" ");
    const shown = docker("exec", id, "cat", "/proc/1/oom_score_adj");
    expect([shown, pids]).toEqual([score, "77"]);
    expect(["-997", "0"]).toContain(shown);
    expect(edge.reasons().filter((reason) => reason === "Failed")).toEqual([]);
  });

  test("a pod runs with the runtime of its RuntimeClass, and is refused when the engine has no such one", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const pod = { ...makePod("classed", { runtimeClassName: "plain" }), kubeedgeRuntimeHandler: "runc" };
    await edge.apply(pod);
    await edge.until("running", isRunning(edge, pod));
    const ids = containers(pod).map((line) => line.split(" ")[0] ?? "");
    expect(docker("inspect", "-f", "{{.HostConfig.Runtime}}", ...ids).split("\n")).toEqual(["runc", "runc"]);
    await edge.apply({ ...makePod("missing"), kubeedgeRuntimeHandler: "", spec: { ...pod.spec } });
    await edge.apply(makePod("unknown", { runtimeClassName: "kubeedge-none" }));
    const told = (): string[] =>
      edge.events.filter(({ reason }) => reason === "FailedCreatePodSandBox").map(({ message }) => message);
    await edge.until("two refusals", () => new Set(told()).size === 2);
    expect(told()).toContain(
      'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "plain" is configured: RuntimeClass "plain" not found',
    );
    expect(told().filter((message) => message.includes("kubeedge-none")).length).toBeGreaterThan(0);
    await edge.apply(deleted(pod));
    await edge.until("terminated", () => edge.terminated.length === 1);
  });

  test("starts a killed container again and keeps the pod's address", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const pod = makePod("killed");
    await edge.apply(pod);
    await edge.until("running", isRunning(edge, pod));
    const ip = edge.status(pod.metadata.uid ?? "")?.podIP;
    docker("kill", `k8s_c_killed_default_${pod.metadata.uid}_0`);
    await edge.until("restarted", isRunning(edge, pod, 1));
    const status = edge.status(pod.metadata.uid ?? "");
    expect([status?.podIP, status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode]).toEqual([
      ip,
      137,
    ]);
    expect(containers(pod).length).toBe(2);
  });

  test("recreates the whole pod when its sandbox is killed", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const pod = makePod("sandbox");
    await edge.apply(pod);
    await edge.until("running", isRunning(edge, pod));
    docker("rm", "-f", `k8s_POD_sandbox_default_${pod.metadata.uid}_0`);
    await edge.until("restarted", isRunning(edge, pod, 1));
    expect(containers(pod).length).toBe(2);
    expect(edge.reasons()).toContain("Killing");
  });

  test("takes over running containers after a restart, without a second one and without a restart", async () => {
    await using at = await edgedWorld(owner);
    const { edge, runtime, dataDir } = at;
    const pod = makePod("adopted");
    const orphan = makePod("orphan");
    await edge.apply(pod);
    await edge.apply(orphan);
    await edge.until("running", isRunning(edge, pod));
    await edge.until("running", isRunning(edge, orphan));
    const before = containers(pod);
    await edge.stop();
    expect(containers(pod)).toEqual(before);
    edge.pods.delete(orphan.metadata.uid ?? "");
    edge.statuses.clear();
    await edge.start(runtime, systemClock, { dataDir });
    await edge.until("running again", isRunning(edge, pod));
    edge.verdict = "gone";
    await edge.link(true);
    await eventually(10_000, async () => expect(containers(orphan)).toEqual([]));
    expect([containers(pod), edge.statuses.get(pod.metadata.uid ?? "")?.length]).toEqual([before, 1]);
  });

  test("backs off from a crashing container and reports why it ended", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const crashing: Container = {
      name: "c",
      image,
      command: ["sh", "-c", "echo bye > /dev/termination-log; exit 3"],
    };
    const pod = makePod("crash", { containers: [crashing] });
    await edge.apply(pod);
    const first = () => edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0];
    await edge.until("back-off", () => first()?.state?.waiting?.reason === "CrashLoopBackOff");
    expect(first()).toMatchObject({
      restartCount: 1,
      ready: false,
      lastState: { terminated: { exitCode: 3, reason: "Error", message: "bye" } },
    });
    await edge.until("event", () => edge.reasons().includes("BackOff"));
    await edge.forget(pod);
    await eventually(10_000, async () => expect(containers(pod, "exited")).toEqual([]));
    expect(edge.terminated).toEqual([]);
  });

  test("runs init containers in order and finishes a pod that may not restart", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const mount = [{ name: "d", mountPath: "/d" }];
    const step = (name: string, script: string): Container => ({
      name,
      image,
      command: ["sh", "-c", script],
      volumeMounts: mount,
    });
    const pod = makePod("job", {
      restartPolicy: "Never",
      volumes: [{ name: "d", emptyDir: {} }],
      initContainers: [step("init-a", "echo a >> /d/f"), step("init-b", "echo b >> /d/f")],
      containers: [step("c", '[ "$(cat /d/f)" = "$(echo a; echo b)" ]')],
    });
    await edge.apply(pod);
    await edge.until("finished", () =>
      /Succeeded|Failed/.test(edge.status(pod.metadata.uid ?? "")?.phase ?? ""),
    );
    const status = edge.status(pod.metadata.uid ?? "");
    expect([status?.phase, status?.containerStatuses?.[0]?.state?.terminated?.reason]).toEqual([
      "Succeeded",
      "Completed",
    ]);
  });

  test("waits for a missing Secret and starts as soon as it comes", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const needy: Container = {
      ...sleeper,
      env: [{ name: "P", valueFrom: { secretKeyRef: { name: "cred", key: "pass" } } }],
    };
    const pod = makePod("needy", { containers: [needy] });
    await edge.apply(pod);
    const waiting = () => edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.state?.waiting;
    await edge.until("waiting", () => waiting()?.reason === "CreateContainerConfigError");
    expect(waiting()?.message).toBe('secret "cred" not found');
    await edge.configure("secret", "cred", { metadata: { name: "cred" }, data: { pass: btoa("x") } });
    await edge.until("running", isRunning(edge, pod));
  });

  test("restarts a container whose liveness probe fails", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const livenessProbe = {
      exec: { command: ["sh", "-c", "echo sick; false"] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    const pod = makePod("sick", { containers: [{ ...sleeper, livenessProbe }] });
    await edge.apply(pod);
    const count = () => edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.restartCount ?? 0;
    await edge.until("restarted", () => count() >= 1);
    const unhealthy = edge.events.find((event) => event.reason === "Unhealthy");
    expect(unhealthy?.message).toBe("Liveness probe failed: sick");
    expect(unhealthy?.involvedObject.fieldPath).toBe("spec.containers{c}");
  });

  test("reports that a port is taken and starts once it is free", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    using blocker = Bun.serve({ port: 0, hostname: "0.0.0.0", fetch: () => new Response("") });
    const ports = [{ containerPort: 80, hostPort: blocker.port ?? 0 }];
    const pod = makePod("taken", { containers: [{ ...sleeper, ports }] });
    await edge.apply(pod);
    await edge.until("refused", () => edge.reasons().includes("FailedCreatePodSandBox"));
    await blocker.stop(true);
    await edge.until("running", isRunning(edge, pod));
  });
});
