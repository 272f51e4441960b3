import { expect, test } from "bun:test";
import { eventually } from "#internal/scripts/service.ts";
import { startAttackedCloud } from "#internal/test/support/cloud/attacked-cloud.ts";

test("cloudcore logs that it could not run when it was stopped for more than half a second", async () => {
  await using cloud = await startAttackedCloud();
  process.kill(cloud.pid, "SIGSTOP");
  // Stopped for longer than the half second from which on it counts as blocked.
  await Bun.sleep(1500);
  process.kill(cloud.pid, "SIGCONT");
  const line = await eventually(5000, async () => {
    const found = cloud.log.split("\n").find((text) => text.includes("event loop was blocked"));
    if (found === undefined) throw new Error("nothing is logged");
    return JSON.parse(found) as { level: string; ms: number; cpuMs: number };
  });
  expect([line.level, line.ms > 1000, line.cpuMs < 500]).toEqual(["warn", true, true]);
}, 30_000);
