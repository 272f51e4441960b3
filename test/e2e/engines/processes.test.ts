import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { freePorts } from "#internal/scripts/service.ts";
import { inOrder } from "#internal/test/support/in-order.ts";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { startPair, until, type Pair } from "#internal/test/support/pair.ts";

setDefaultTimeout(120_000);

/** The program of the tests, at a place where only root may write: it serves its page, and ends with 7 when it finds a file. */
const folder = `/opt/kubeedge-e2e-${process.pid}`;
const app = `${folder}/app`;
const source = `#!/bin/sh
trap 'echo ends; exit 0' TERM
echo "started with $GREETING as $(id -u) on port $1"
cp /config/page /data/index.html
busybox httpd -f -p $1 -h /data &
while :; do [ -e /data/crash ] && { rm /data/crash; echo crashed >/dev/termination-log; exit 7; }; sleep 0.1; done
`;

describe.skipIf(!hasProcesses() || !needsCommands("kubectl", "busybox"))("a node without an engine", () => {
  let pair: Pair;
  let port = 0;
  const { step, run } = inOrder();
  const field = (path: string, name = "web"): Promise<string> =>
    pair.kubectl("get", "pod", name, "-o", `jsonpath={${path}}`);

  beforeAll(async () => {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    writeFileSync(app, source, { mode: 0o755 });
    pair = await startPair({ programs: [folder, "/bin/cat", "/bin/sh"] });
    [port = 0] = freePorts(1);
  });
  afterAll(async () => {
    await pair[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  const webPod = (): object => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default" },
    spec: {
      nodeName: pair.node,
      terminationGracePeriodSeconds: 5,
      initContainers: [
        {
          name: "init",
          image: "process:///bin/sh",
          args: ["-c", "echo prepared > /data/prepared"],
          volumeMounts: [{ name: "data", mountPath: "/data" }],
        },
      ],
      containers: [
        {
          name: "app",
          image: `process://${app}`,
          args: [String(port)],
          env: [{ name: "GREETING", value: "a greeting" }],
          ports: [{ containerPort: port }],
          resources: { limits: { memory: "64Mi", cpu: "500m" } },
          readinessProbe: { httpGet: { path: "/", port }, periodSeconds: 1 },
          livenessProbe: { exec: { command: ["cat", "/data/prepared"] }, periodSeconds: 2 },
          volumeMounts: [
            { name: "data", mountPath: "/data" },
            { name: "config", mountPath: "/config" },
          ],
        },
      ],
      volumes: [
        { name: "data", emptyDir: {} },
        { name: "config", configMap: { name: "page" } },
      ],
    },
  });

  step("is Ready, and says what it runs", async () => {
    const version = await pair.kubectl(
      "get",
      "node",
      pair.node,
      "-o",
      "jsonpath={.status.nodeInfo.containerRuntimeVersion}",
    );
    expect(version).toBe("process://1");
  });

  step("runs a pod with its init container, volumes, variables and probes", async () => {
    await pair.apply(
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "page", namespace: "default" },
        data: { page: "the page\n" },
      },
      webPod(),
    );
    await pair.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s");
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("the page\n");
    expect(await field(".status.podIP")).toBe(await field(".status.hostIP"));
    expect(await field(".status.containerStatuses[0].containerID")).toMatch(
      /^process:\/\/process-[0-9a-f]{32}$/,
    );
  });

  step("answers logs and commands, and measures the pod", async () => {
    expect(await pair.kubectl("logs", "web")).toMatch(
      new RegExp(`^started with a greeting as 20\\d{5} on port ${port}\n$`),
    );
    expect(await pair.kubectl("exec", "web", "--", "cat", "/config/page")).toBe("the page\n");
    const token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    expect(await pair.kubectl("exec", "web", "--", "cat", token)).toStartWith("ey");
    await expect(pair.kubectl("exec", "web", "--", "sh", "-c", "exit 5")).rejects.toThrow("exit code 5");
    await expect(pair.kubectl("exec", "web", "--", "busybox")).rejects.toThrow("edged.processes.programs");
    await until(60_000, async () => {
      const top = await pair.kubectl("top", "pod", "web", "--no-headers").catch(String);
      return /^web\s+\d+m\s+\d+Mi/.test(top) || top;
    });
  });

  step("starts a program again that has ended, and shows how and what it wrote before", async () => {
    await pair.kubectl("exec", "web", "--", "sh", "-c", "echo x > /data/crash");
    await until(
      30_000,
      async () => (await field(".status.containerStatuses[0].restartCount")) === "1" || "no restart",
    );
    const last = JSON.parse(await field(".status.containerStatuses[0].lastState.terminated"));
    expect([last.exitCode, last.message]).toEqual([7, "crashed"]);
    expect(await pair.kubectl("logs", "web", "--previous")).toContain("started with");
    await pair.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s");
  });

  step("keeps it running when edgecore is killed and started again", async () => {
    const before = await field(".status.containerStatuses[0].containerID");
    await pair.killEdge();
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("the page\n");
    await pair.startEdge();
    await pair.ready();
    await until(
      30_000,
      async () =>
        (await pair.kubectl("exec", "web", "--", "cat", "/data/prepared").catch(String)) === "prepared\n" ||
        "no exec",
    );
    expect(await field(".status.containerStatuses[0].containerID")).toBe(before);
    expect(await field(".status.containerStatuses[0].restartCount")).toBe("1");
  });

  step(
    "runs the command in place of the program of the image, and finds it by the PATH of the container",
    async () => {
      const container = {
        name: "c",
        image: "process:///no/such/program",
        command: ["$(PROGRAM)", "-c", "echo by its command"],
        env: [
          { name: "PATH", value: "/bin" },
          { name: "PROGRAM", value: "sh" },
        ],
      };
      await pair.apply({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "command", namespace: "default" },
        spec: { nodeName: pair.node, restartPolicy: "Never", containers: [container] },
      });
      await until(30_000, async () => {
        const phase = await field(".status.phase", "command");
        return phase === "Succeeded" || phase;
      });
      expect(await pair.kubectl("logs", "command")).toBe("by its command\n");
      await pair.kubectl("delete", "pod", "command", "--wait=true");
    },
  );

  step("refuses what it cannot do, with an Event that names the field", async () => {
    const made = `/etc/kubeedge-e2e-${process.pid}`;
    const log = `/run/kubeedge-e2e-${process.pid}`;
    const mounts = (over: object): object => ({
      volumeMounts: [{ name: "host", mountPath: "/host", ...over }],
    });
    const volumesOf = new Map<string, object>([
      ["made", { path: made, type: "FileOrCreate" }],
      ["sub-path", { path: "/" }],
    ]);
    const refusals: [string, object, string][] = [
      ["made", mounts({}), `hostPath.path ${made} does not exist`],
      ["sub-path", mounts({ subPath: made.slice(1) }), 'subPath of volumeMount "host" is not supported'],
      ["log", { terminationMessagePath: log }, `${log} (or terminationMessagePath) does not exist`],
      ["root", { securityContext: { runAsUser: 0 } }, "runAsUser 0 is not among edged.processes.users"],
      [
        "privileged",
        { securityContext: { privileged: true } },
        "spec.containers[0].securityContext.privileged",
      ],
      ["outside", { image: "process:///usr/bin/busybox" }, "is not among edged.processes.programs"],
      ["traversal", { image: `process://${folder}/../../bin/busybox` }, "may not contain"],
      ["preload", { env: [{ name: "LD_PRELOAD", value: "/x" }] }, "env LD_PRELOAD is not allowed"],
      ["port", { ports: [{ containerPort: port }] }, "didn't have free ports"],
    ];
    const pods = refusals.map(([name, over]) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default" },
      spec: {
        nodeName: pair.node,
        containers: [{ name: "c", image: `process://${app}`, ...over }],
        volumes: volumesOf.has(name) ? [{ name: "host", hostPath: volumesOf.get(name) }] : [],
      },
    }));
    await pair.apply(...pods);
    for (const [name, , text] of refusals)
      await until(30_000, async () => {
        const events = await pair.kubectl(
          "get",
          "events",
          "--field-selector",
          `involvedObject.name=${name}`,
          "-o",
          "jsonpath={.items[*].message}",
        );
        const message = await field(".status.message", name);
        return `${events} ${message}`.includes(text) || `${name}: ${events} ${message}`;
      });
    for (const path of [made, log]) expect(existsSync(path)).toBe(false);
    await pair.kubectl("delete", "pod", ...refusals.map(([name]) => name), "--wait=true");
  });

  step("runs a pod by its RuntimeClass, whatever its image is called", async () => {
    await pair.apply(
      {
        apiVersion: "node.k8s.io/v1",
        kind: "RuntimeClass",
        metadata: { name: "host-programs" },
        handler: "process",
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "by-class", namespace: "default" },
        spec: {
          nodeName: pair.node,
          restartPolicy: "Never",
          runtimeClassName: "host-programs",
          containers: [
            { name: "c", image: "registry.example/app:1", command: ["/bin/sh", "-c", "echo by its class"] },
          ],
        },
      },
    );
    await pair.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/by-class", "--timeout=60s");
    expect(await pair.kubectl("logs", "by-class")).toBe("by its class\n");
  });

  step("ends a pod gracefully, and leaves nothing of it", async () => {
    await pair.kubectl("delete", "pod", "web", "by-class", "--wait=true", "--timeout=60s");
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow();
    await until(10_000, () => {
      const found = Bun.spawnSync([
        "find",
        `${pair.edgeDir}/processes`,
        `${pair.edgeDir}/pods`,
        "-mindepth",
        "1",
      ]).stdout.toString();
      return found === "" || found;
    });
  });

  test("a node without an engine", () => run());
});
