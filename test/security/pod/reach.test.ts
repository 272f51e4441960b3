import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import type { Container, Pod } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { sandboxSpec } from "#internal/edge/edged/pods/container-spec.ts";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { edgedWorld, idle, inPod, isRunning, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const owner = `sec-reach-${process.pid}`;
const image = `kubeedge-sec-reach-${process.pid}:1`;

describe.skipIf(!hasEngine())("a pod", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("cannot add options or another source to a mount with a colon in its path", async () => {
    await using at = await edgedWorld(owner);
    using host = tempDir("host");
    writeFileSync(join(host.path, "f"), "host");
    const volumeMounts = [{ name: "v", mountPath: "/ro:rw", readOnly: true }];
    const pod = podOf("colon", {
      containers: [shell(image, idle, { volumeMounts })],
      volumes: [{ name: "v", hostPath: { path: host.path } }],
    });
    await at.edge.apply(pod);
    await at.edge.until("running", () => isRunning(at.edge, pod));
    const output = inPod(pod, "c", "cat /ro:rw/f; (echo x > /ro:rw/f) 2>&1; ls /");
    expect([output.includes("Read-only file system"), output.split("\n")[0]?.startsWith("host")]).toEqual([
      true,
      true,
    ]);
    expect(readFileSync(join(host.path, "f"), "utf8")).toBe("host");
  });

  test("gets the part of a volume that subPathExpr names, and nothing when a variable is missing", async () => {
    await using at = await edgedWorld(owner);
    using host = tempDir("host");
    for (const name of ["mine", "others"]) {
      mkdirSync(join(host.path, name));
      writeFileSync(join(host.path, name, "f"), name);
    }
    const mount = (subPathExpr: string): Partial<Container> => ({
      env: [{ name: "WHO", value: "mine" }],
      volumeMounts: [{ name: "v", mountPath: "/v", subPathExpr }],
    });
    const podWith = (name: string, expr: string): Pod =>
      podOf(name, {
        containers: [shell(image, idle, mount(expr))],
        volumes: [{ name: "v", hostPath: { path: host.path } }],
      });
    const good = podWith("expr", "$(WHO)");
    await at.edge.apply(good);
    await at.edge.until("running", () => isRunning(at.edge, good));
    expect(inPod(good, "c", "ls /v; cat /v/f")).toBe("f\nmine");
    const waits = async (name: string, expr: string): Promise<string | undefined> => {
      const pod = podWith(name, expr);
      const waiting = () => at.edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.state?.waiting;
      await at.edge.apply(pod);
      await at.edge.until("waiting", () => waiting()?.message !== undefined);
      return waiting()?.message;
    };
    expect([await waits("none", "$(NONE)"), await waits("up", "$(WHO)/../others")]).toEqual([
      "missing value for NONE",
      "SubPath `mine/../others` must not contain '..'",
    ]);
  });

  test("cannot fill edgecore's memory with its termination message", async () => {
    await using at = await edgedWorld(owner);
    const script = "dd if=/dev/zero of=/dev/termination-log bs=1 count=1 seek=8G 2>/dev/null; exit 3";
    const pod = podOf("huge", { restartPolicy: "Never", containers: [shell(image, script)] });
    await at.edge.apply(pod);
    await at.edge.until("failed", () => at.edge.status(pod.metadata.uid ?? "")?.phase === "Failed");
    const state = at.edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.state?.terminated;
    expect([state?.exitCode, (state?.message ?? "").length <= 4096]).toEqual([3, true]);
  });

  test("keeps the mode it gave to its emptyDir when its other files change", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const page = (text: string) => ({
      metadata: { name: "page", namespace: "default" },
      data: { a: text },
    });
    await edge.configure("configmap", "page", page("one"));
    const mounts = ["data", "cfg"].map((name) => ({ name, mountPath: `/${name}` }));
    const pod = podOf("mode", {
      containers: [shell(image, `chmod 700 /data; ${idle}`, { volumeMounts: mounts })],
      volumes: [
        { name: "data", emptyDir: {} },
        { name: "cfg", configMap: { name: "page" } },
      ],
    });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    await edge.configure("configmap", "page", page("two"));
    await eventually(5000, async () => expect(inPod(pod, "c", "cat /cfg/a")).toBe("two"));
    expect(inPod(pod, "c", "cat /cfg/a; stat -c %a /data")).toBe("two700");
  });

  test("does not become the sandbox of others by the name of its image", async () => {
    const pauseImage = `kubeedge-pause-${process.pid}:1`;
    docker("tag", image, pauseImage);
    const options = { address: `unix://${engineSocket}`, owner, clock: systemClock, log: silentLog() };
    await using runtime = await openDockerRuntime({ ...options, pauseImage });
    const sandbox = (attempt: number) =>
      runtime.runSandbox(
        sandboxSpec(podOf("paused", { containers: [] }), {
          attempt,
          dns: { servers: [], domain: "" },
          security: { allowedUnsafeSysctls: [], seccompDir: "", appArmor: false },
        }),
      );
    try {
      const { imageId } = await sandbox(0);
      expect(docker("inspect", "-f", "{{json .Config.Entrypoint}}", imageId)).toBe('["/pause"]');
      docker("tag", image, pauseImage);
      expect((await sandbox(1)).imageId).toBe(imageId);
    } finally {
      removeContainers(owner);
      docker("rmi", pauseImage);
    }
  });
});
