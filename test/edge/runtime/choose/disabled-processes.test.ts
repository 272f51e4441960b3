import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { openRuntime } from "#edge/runtime/choose";
import { systemClock as clock } from "#shared/clock";
import { hasProcesses } from "#internal/test/support/machine/processes.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { ProcessWorld, processesWith, until } from "#internal/test/edge/runtime/process/process-world.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
// None: what runs programs is looked at alone.
const endpoint = { kind: "cri", address: "unix:///tmp/kubeedge-no-such.sock" } as const;

function optionsFor(dataDir: string, owner: string) {
  const log = silentLog();
  return { owner, node: "edge-1", dataDir, logs: { fileBytes: 1024 * 1024, files: 2 }, clock, log };
}

describe.skipIf(!hasProcesses())("a node that allows programs as pods no longer", () => {
  test("ends those that run, with their grace period, and keeps nothing of them", async () => {
    await using world = new ProcessWorld();
    const time = `47${process.pid}`;
    await world.shell(`trap 'exit 0' TERM; sleep ${time} & wait`);
    await world.shell(`sleep ${time} & wait`, {}, "other");
    await until(() => processesWith(`sleep ${time}`).length >= 2);
    await world.reopen(async () => {
      const options = optionsFor(world.dir.path, world.owner);
      await using _runtime = await openRuntime(endpoint, options);
      expect(options.log.lines.filter((line) => line.includes("ended a program")).length).toBe(2);
    });
    await until(() => processesWith(`sleep ${time}`).length === 0);
    expect(readdirSync(join(world.dir.path, "processes"))).toEqual([]);
  });

  test("leaves them alone when it is asked for logs only", async () => {
    await using world = new ProcessWorld();
    const id = await world.shell("exec sleep 1000");
    await world.reopen(async () => {
      const options = { ...optionsFor(world.dir.path, world.owner), remembers: false };
      await using _runtime = await openRuntime(endpoint, options);
    });
    expect((await world.runtime.inspect(id))?.phase).toBe("running");
  });

  test("makes no directory for them where there never was one", async () => {
    using dir = tempDir();
    await using _runtime = await openRuntime(endpoint, optionsFor(dir.path, "none"));
    expect(existsSync(join(dir.path, "processes"))).toBe(false);
  });
});
