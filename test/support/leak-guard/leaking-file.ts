import { test } from "bun:test";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Run by leak-guard.test.ts in a process of its own: passes, and leaves one of everything behind. */
test("leaks", () => {
  mkdtempSync(join(tmpdir(), "left-"));
  Bun.serve({ port: 0, fetch: () => new Response("") });
  Bun.spawn(["sleep", "20"], { stdout: "ignore", stderr: "ignore" });
  setInterval(() => undefined, 60_000);
});
