import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";

test("a process that this namespace does not see is left alone: its number is shown as 0, which would be edgecore", async () => {
  using dir = tempDir();
  const group = join(dir.path, "pids/kubeedge-processes/owner/left");
  mkdirSync(group, { recursive: true });
  writeFileSync(join(dir.path, "pids/cgroup.procs"), "");
  writeFileSync(join(group, "cgroup.procs"), "0\n0\n");
  const script = `
    import { ProcessCgroups } from ${JSON.stringify(resolve("edge/runtime/process/cgroups.ts"))};
    const groups = new ProcessCgroups("owner", ${JSON.stringify(dir.path)});
    await groups.sweep(new Set(), { sleep: () => Promise.resolve() });
    console.log("swept");
  `;
  // In a group of its own, which it would end.
  const child = Bun.spawn([process.execPath, "-e", script], {
    detached: true,
    stdout: "pipe",
    stderr: "inherit",
  });
  expect([await new Response(child.stdout).text(), await child.exited]).toEqual(["swept\n", 0]);
});
