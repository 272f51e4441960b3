import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import type { Pod } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { canStartEngine, startEngine } from "#internal/test/support/machine/own-engine.ts";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(90_000);
const canRun = canStartEngine();

test.skipIf(!canRun)(
  "edged brings its pods back after the engine was restarted, each container once",
  async () => {
    using dir = tempDir("engine");
    const first = await startEngine(dir.path);
    let stop = first.stop;
    const docker = (...args: string[]): string => {
      const result = Bun.spawnSync(["docker", "-H", first.address, ...args]);
      if (!result.success) throw new Error(result.stderr.toString());
      return result.stdout.toString().trim();
    };
    const runtime = await openDockerRuntime({
      address: first.address,
      owner: "restart",
      clock: systemClock,
      log: silentLog(),
    });
    await using edge = new EdgedHarness();
    try {
      Bun.spawnSync(["tar", "-C", "/bin", "-cf", join(dir.path, "box.tar"), "busybox"]);
      docker("import", join(dir.path, "box.tar"), "box:1");
      await edge.start(runtime, systemClock, { dataDir: join(dir.path, "edge") });
      const containers = [{ name: "c", image: "box:1", command: ["/busybox", "sleep", "1000"] }];
      const pod: Pod = {
        metadata: { name: "web", namespace: "default", uid: "uid-web" },
        spec: { hostNetwork: true, terminationGracePeriodSeconds: 0, containers },
      };
      await edge.apply(pod);
      const restarts = (): number | undefined => {
        const status = edge.status("uid-web");
        return status?.phase === "Running" ? status.containerStatuses?.[0]?.restartCount : undefined;
      };
      await edge.until("running", () => restarts() === 0, 30_000);
      await stop();
      ({ stop } = await startEngine(dir.path));
      await edge.until("running again", () => restarts() === 1, 40_000);
      const names = docker("ps", "--format", "{{.Names}}").split("\n").sort();
      expect(names).toEqual([
        expect.stringMatching(/^k8s_POD_web_default_uid-web_\d$/),
        "k8s_c_web_default_uid-web_1",
      ]);
      await edge.forget(pod);
      await eventually(10_000, async () => expect(docker("ps", "-aq")).toBe(""));
    } finally {
      await edge.stop();
      await runtime[Symbol.asyncDispose]();
      await stop();
    }
  },
);
