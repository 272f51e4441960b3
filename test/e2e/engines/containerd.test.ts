import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { freePorts } from "#internal/scripts/service.ts";
import { inOrder } from "#internal/test/support/in-order.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { deployment, startPair, until, type Pair } from "#internal/test/support/pair.ts";

setDefaultTimeout(120_000);
const image = "kubeedge-containerd-e2e:1";
const serve =
  "echo started in $HOSTNAME; mkdir /www; echo page > /www/index.html; busybox httpd -f -p 8080 -h /www & echo $! > /tmp/pid; wait";

describe.skipIf(!hasContainerd() || !needsCommands("kubectl"))("a node with containerd", () => {
  let engine: Containerd;
  let pair: Pair;
  let pod = "";
  const { step, run } = inOrder();

  beforeAll(async () => {
    engine = await Containerd.start();
    await engine.addBusybox(image);
    pair = await startPair({ endpoint: engine.endpoint });
    const container = {
      name: "httpd",
      image,
      command: ["sh", "-c", serve],
      ports: [{ containerPort: 8080 }],
      readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
      livenessProbe: { exec: { command: ["cat", "/www/index.html"] }, periodSeconds: 1 },
    };
    await pair.apply(deployment("web", { terminationGracePeriodSeconds: 1, containers: [container] }));
    await pair.kubectl("rollout", "status", "deployment/web", "--timeout=60s");
    pod = (await pair.kubectl("get", "pods", "-l", "app=web", "-o", "name")).trim();
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
  });

  const containers = (): string[] =>
    engine.ctr("tasks", "list", "--quiet").split("\n").filter(Boolean).toSorted();

  step("shows its engine, and ids of it in pods", async () => {
    const version = await pair.kubectl(
      "get",
      "node",
      "-o",
      "jsonpath={.items[0].status.nodeInfo.containerRuntimeVersion}",
    );
    const id = await pair.kubectl("get", pod, "-o", "jsonpath={.status.containerStatuses[0].containerID}");
    expect([version, id]).toEqual([
      expect.stringMatching(/^containerd:\/\/\d+\.\d+/),
      expect.stringMatching(/^containerd:\/\/[0-9a-f]{64}$/),
    ]);
  });

  step("answers logs, commands and forwarded ports, and measures the pod", async () => {
    const name = pod.replace("pod/", "");
    expect(await pair.kubectl("logs", pod)).toBe(`started in ${name}\n`);
    expect(await pair.kubectl("exec", pod, "--", "hostname")).toBe(`${name}\n`);
    await expect(pair.kubectl("exec", pod, "--", "sh", "-c", "exit 5")).rejects.toThrow("exit code 5");
    const [port = 0] = freePorts(1);
    const words = [
      "kubectl",
      "--kubeconfig",
      pair.cloudFile("kubeconfig"),
      "port-forward",
      pod,
      `${port}:8080`,
    ];
    const forward = Bun.spawn(words, { stdout: "ignore", stderr: "ignore" });
    await until(
      15_000,
      async () => (await (await fetch(`http://127.0.0.1:${port}/`)).text()) === "page\n" || "no page",
    );
    forward.kill();
    await forward.exited;
    await until(
      30_000,
      async () => (await pair.kubectl("top", "pod", "--no-headers")).includes(name) || "not measured",
    );
  });

  step("keeps its containers when edgecore is killed, and when the engine is started again", async () => {
    const before = containers();
    await pair.killEdge();
    await pair.startEdge();
    await pair.ready();
    expect(containers()).toEqual(before);
    await engine.stop("SIGKILL");
    await pair.kubectl("wait", "--for=condition=Ready=false", `node/${pair.node}`, "--timeout=60s");
    await engine.start();
    await pair.ready();
    await pair.kubectl("wait", "--for=condition=Ready", pod, "--timeout=30s");
    expect(containers()).toEqual(before);
  });

  step("starts a container again that has ended, and shows the log of the run before", async () => {
    await pair.kubectl("exec", pod, "--", "sh", "-c", "kill $(cat /tmp/pid)");
    await until(30_000, async () => {
      const count = await pair.kubectl(
        "get",
        pod,
        "-o",
        "jsonpath={.status.containerStatuses[0].restartCount}",
      );
      return count === "1" || `${count} restarts`;
    });
    await pair.kubectl("wait", "--for=condition=Ready", pod, "--timeout=30s");
    expect(await pair.kubectl("logs", "--previous", pod)).toStartWith("started in");
  });

  step("leaves nothing of a pod that is deleted", async () => {
    const uid = await pair.kubectl("get", pod, "-o", "jsonpath={.metadata.uid}");
    const logs = join(pair.edgeDir, "pods", uid, "logs/httpd/1.log");
    const had = existsSync(logs);
    await pair.kubectl("delete", "deployment/web", "--timeout=30s");
    await until(
      30_000,
      () => engine.ctr("containers", "list", "--quiet").trim() === "" || "containers are left",
    );
    await until(10_000, () => !existsSync(join(pair.edgeDir, "pods", uid)) || "files are left");
    expect([had, await pair.kubectl("get", "pods", "-o", "name")]).toEqual([true, ""]);
  });

  test("runs a pod, and goes on with it over kills of edgecore and of the engine", run, 300_000);
});
