import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually, run } from "#internal/scripts/service.ts";
import { needs, needsCommands } from "#internal/test/support/needs.ts";

/** Whether tests can start an engine of their own. */
export function canStartEngine(): boolean {
  return (
    needsCommands("dockerd", "docker", "unshare") &&
    needs({ "busybox-static": existsSync("/bin/busybox"), root: process.getuid?.() === 0 })
  );
}

/**
 * A dockerd of our own in a network namespace of its own: with `--bridge=none` dockerd deletes the `docker0` it finds,
 * which otherwise is that of the machine's engine. Pods of such a test use that namespace as their host's network.
 */
export async function startEngine(
  dir: string,
): Promise<{ readonly address: string; readonly stop: () => Promise<void> }> {
  const socket = join(dir, "engine.sock");
  writeFileSync(join(dir, "daemon.json"), "{}");
  const engine = Bun.spawn(
    [
      "unshare",
      "--net",
      "dockerd",
      `--config-file=${join(dir, "daemon.json")}`,
      `--host=unix://${socket}`,
      `--data-root=${join(dir, "data")}`,
      `--exec-root=${join(dir, "exec")}`,
      `--pidfile=${join(dir, "engine.pid")}`,
      "--bridge=none",
      "--iptables=false",
      "--ip6tables=false",
      "--storage-driver=vfs",
    ],
    { stdout: "ignore", stderr: Bun.file(join(dir, "engine.log")) },
  );
  await eventually(30_000, () => run(["docker", "-H", `unix://${socket}`, "info"]));
  const stop = async (): Promise<void> => {
    engine.kill("SIGTERM");
    await engine.exited;
    // dockerd leaves this mount behind, and a mounted file cannot be removed.
    Bun.spawnSync(["umount", join(dir, "exec/netns/default")]);
  };
  return { address: `unix://${socket}`, stop };
}
