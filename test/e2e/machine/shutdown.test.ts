import { expect, test } from "bun:test";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { docker, engineSocket, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { until } from "#internal/test/support/pair.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** What systemd answers while the machine is in this state, and whether pods run on when edgecore is stopped then. */
test.skipIf(!hasEngine()).each([
  ["stopping", false],
  ["running", true],
])(
  "when edgecore is stopped while the machine is %s, whether its pods run on is %j",
  async (state, runsOn) => {
    await makeDemoImage(engineSocket);
    using dir = tempDir("shutdown");
    const folder = realpathSync(dir.path);
    const [manifests, bin] = [join(folder, "manifests"), join(folder, "bin")];
    for (const one of [manifests, bin]) mkdirSync(one);
    writeFileSync(join(bin, "systemctl"), `#!/bin/sh\n[ "$1" = is-system-running ] && echo ${state}\n`, {
      mode: 0o755,
    });
    const command = ["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; /bin/busybox sleep 1000 & wait"];
    const container = { name: "c", image: demoImage, imagePullPolicy: "IfNotPresent", command };
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "panel" },
      spec: { containers: [container] },
    };
    writeFileSync(join(manifests, "panel.json"), JSON.stringify(pod));
    const node = `off-${state}-${process.pid}`;
    const config = join(folder, "edge.yaml");
    writeFileSync(
      config,
      `data-dir: ${join(folder, "data")}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }
edged: { hostname-override: ${node}, static-pod-path: "${manifests}", image-gc-high-threshold: 100, shutdown-grace-period: 20, shutdown-grace-period-critical-pods: 10 }
devicetwin: { query-port: 0, dmi-socket: "" }
service-bus: { port: 0 }
meta-server: { port: 0 }
`,
    );
    const words = [process.execPath, join(import.meta.dir, "../../../edge/main.ts"), "--config", config];
    const env = { ...process.env, PATH: `${bin}:${process.env["PATH"]}` };
    const child = Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "ignore", env });
    const ids = (...filters: readonly string[]): string[] =>
      docker("ps", "-aq", ...filters, "--filter", `label=io.kubernetes.pod.name=panel-${node}`)
        .split("\n")
        .filter(Boolean);
    try {
      await until(30_000, () => ids("--filter", "status=running").length === 2 || "the pod does not run");
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
      expect(ids("--filter", "status=running").length).toBe(runsOn ? 2 : 0);
      const [code] = ids("--filter", "label=io.kubernetes.container.name=c").map((id) =>
        docker("inspect", "-f", "{{.State.ExitCode}}", id),
      );
      expect(code).toBe("0");
    } finally {
      child.kill("SIGKILL");
      await child.exited;
      const left = ids();
      if (left.length > 0) docker("rm", "-f", ...left);
    }
  },
  60_000,
);
