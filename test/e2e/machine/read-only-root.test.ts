import { expect, test } from "bun:test";
import { mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { docker, engineSocket, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { needs } from "#internal/test/support/needs.ts";
import { until } from "#internal/test/support/pair.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Every mount is read-only but the data directory; then the program takes the place of the shell. */
const script = `
set -e
data=$1; shift
mount --make-rprivate /
mount --bind "$data" "$data"
while read -r _ _ _ _ point _; do
  case "$point" in "$data"|/proc|/proc/*|/sys|/sys/*|/dev|/dev/*) ;; *) mount -o remount,bind,ro "$point" || true ;; esac
done < /proc/self/mountinfo
if touch /tmp/writable 2>/dev/null || touch /var/writable 2>/dev/null; then echo "not read-only" >&2; exit 9; fi
exec "$@"
`;

const canUnshare = (): boolean =>
  needs({
    "root for mount namespaces": Bun.spawnSync(["unshare", "-m", "mount", "--make-rprivate", "/"]).success,
  });

test.skipIf(!hasEngine() || !canUnshare())(
  "edgecore runs pods where nothing but its data directory can be written, and stops cleanly",
  async () => {
    await makeDemoImage(engineSocket);
    using dir = tempDir("read-only");
    const folder = realpathSync(dir.path);
    const data = join(folder, "data");
    const manifests = join(folder, "manifests");
    for (const one of [data, manifests]) mkdirSync(one);
    const container = {
      name: "c",
      image: demoImage,
      imagePullPolicy: "IfNotPresent",
      command: ["/bin/busybox", "sh", "-c", "echo 1 > /v/file; exec /bin/busybox sleep 1000"],
      volumeMounts: [{ name: "v", mountPath: "/v" }],
    };
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "panel" },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [container],
        volumes: [{ name: "v", emptyDir: {} }],
      },
    };
    writeFileSync(join(manifests, "panel.json"), JSON.stringify(pod));
    const node = `ro-${process.pid}`;
    const config = join(folder, "edge.yaml");
    writeFileSync(
      config,
      `data-dir: ${data}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:1", https: "https://127.0.0.1:1" }
edged: { hostname-override: ${node}, static-pod-path: "${manifests}", image-gc-high-threshold: 100 }
devicetwin: { query-port: 0, dmi-socket: "" }
service-bus: { port: 0 }
meta-server: { port: 0 }
`,
    );
    const program = [process.execPath, join(import.meta.dir, "../../../edge/main.ts"), "--config", config];
    const words = ["unshare", "-m", "sh", "-c", script, "sh", data, ...program];
    const child = Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "pipe", cwd: "/" });
    const log = new Response(child.stderr).text();
    const ids = (): string[] =>
      docker("ps", "-q", "--filter", `label=io.kubernetes.pod.name=panel-${node}`)
        .split("\n")
        .filter(Boolean);
    try {
      await until(30_000, () => ids().length === 2 || child.exitCode !== null || "the pod does not run");
      expect(ids()).toHaveLength(2);
    } finally {
      child.kill("SIGTERM");
      await child.exited;
      const left = ids();
      if (left.length > 0) docker("rm", "-f", ...left);
    }
    expect([
      child.exitCode,
      (await log).split("\n").filter((line) => /EROFS|Read-only file/i.test(line)),
    ]).toEqual([0, []]);
  },
  60_000,
);
