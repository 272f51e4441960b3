import { mkdirSync, symlinkSync, copyFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { needs } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

export const engineSocket = "/var/run/docker.sock";

/** Whether tests with real containers can run here. */
export function hasEngine(): boolean {
  return needs({
    "a Docker engine": existsSync(engineSocket),
    "the docker client": Bun.which("docker") !== null,
    "busybox-static": existsSync("/bin/busybox"),
  });
}

/** Runs the docker client. @throws with its error output */
export function docker(...args: string[]): string {
  const result = Bun.spawnSync(["docker", ...args]);
  if (!result.success) throw new Error(`docker ${args.join(" ")}: ${result.stderr.toString()}`);
  return result.stdout.toString().trim();
}

/** Makes an image of busybox, with changes as in a Dockerfile ("USER app"); disposing removes it. */
export function busyboxImage(
  name: string,
  changes: readonly string[] = [],
): Disposable & { readonly name: string } {
  using root = busyboxRoot();
  using dir = tempDir("archive");
  const archive = join(dir.path, "root.tar");
  const tar = Bun.spawnSync(["tar", "-C", root.path, "-cf", archive, "."]);
  if (!tar.success) throw new Error(tar.stderr.toString());
  docker("import", ...changes.flatMap((change) => ["--change", change]), archive, name);
  return { name, [Symbol.dispose]: () => void docker("rmi", "-f", name) };
}

/** A root file system of busybox. */
export function busyboxRoot(): ReturnType<typeof tempDir> {
  const dir = tempDir("busybox");
  mkdirSync(join(dir.path, "bin"), { recursive: true });
  mkdirSync(join(dir.path, "tmp"));
  copyFileSync("/bin/busybox", join(dir.path, "bin/busybox"));
  for (const applet of [
    "sh",
    "sleep",
    "cat",
    "echo",
    "httpd",
    "true",
    "false",
    "env",
    "id",
    "hostname",
    "ls",
    "ln",
    "mv",
    "rm",
    "mkdir",
    "stat",
    "dd",
    "grep",
    "chmod",
    "stty",
    "nc",
  ]) {
    symlinkSync("busybox", join(dir.path, "bin", applet));
  }
  return dir;
}

/** Removes every container of an owner, whatever a failed test left. */
export function removeContainers(owner: string): void {
  const ids = docker("ps", "-aq", "--filter", `label=io.kubeedge.owner=${owner}`).split("\n").filter(Boolean);
  if (ids.length > 0) docker("rm", "-f", ...ids);
}
