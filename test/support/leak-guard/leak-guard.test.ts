import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { needs } from "#internal/test/support/needs.ts";

const root = resolve(import.meta.dir, "../../..");

test.skipIf(!needs({ Linux: process.platform === "linux" }))(
  "leak guard fails a test file that leaves a server, a process, an interval and a directory",
  async () => {
    const file = join(import.meta.dir, "leaking-file.ts");
    const child = Bun.spawn([process.execPath, "test", file], { cwd: root, stdout: "pipe", stderr: "pipe" });
    const [text, code] = await Promise.all([new Response(child.stderr).text(), child.exited]);
    expect(code).toBe(1);
    expect(text).toContain("the test file left 4 behind:");
    for (const what of [
      /interval: /,
      /listening socket on port \d+/,
      /process \d+: sleep 20/,
      /left-\w{6}$/m,
    ])
      expect(text).toMatch(what);
    for (const [, pid] of text.matchAll(/process (\d+): sleep 20/g)) process.kill(Number(pid));
  },
);
