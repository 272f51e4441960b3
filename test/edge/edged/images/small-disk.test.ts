import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { canStartEngine, startEngine } from "#internal/test/support/machine/own-engine.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";
import { eventually } from "#internal/scripts/service.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(90_000);
const canRun = canStartEngine() && hasSmallDisks();
const gc = { highPercent: 85, lowPercent: 60, minimumAgeMs: 0, maximumAgeMs: undefined };
const pulls = { parallel: 1, idleMs: 20_000, authFile: undefined, mirrors: {} };

test.skipIf(!canRun)("an engine on a small disk gets room by the images nobody uses", async () => {
  using dir = tempDir("small");
  using _disk = smallDisk(join(dir.path, "data"), "160m");
  const engine = await startEngine(dir.path);
  const docker = (...args: string[]): string => {
    const result = Bun.spawnSync(["docker", "-H", engine.address, ...args]);
    if (!result.success) throw new Error(result.stderr.toString());
    return result.stdout.toString().trim();
  };
  /** An image of so many megabytes; vfs keeps the whole again for each container. */
  const make = (name: string, megabytes: number): void => {
    const folder = join(dir.path, name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "noise"),
      crypto
        .getRandomValues(Buffer.alloc(65_536))
        .toString("hex")
        .repeat(megabytes * 8),
    );
    Bun.spawnSync(["tar", "-C", folder, "-cf", `${folder}.tar`, "."]);
    docker("import", `${folder}.tar`, `${name}:1`);
  };
  const names = (): string[] =>
    docker("images", "--format", "{{.Repository}}").split("\n").filter(Boolean).sort();
  const clock = new FakeClock();
  const archiveDir = join(dir.path, "archives");
  mkdirSync(archiveDir);
  const runtime = await openDockerRuntime({
    address: engine.address,
    owner: "small",
    clock: systemClock,
    log: silentLog(),
  });
  await using edge = new EdgedHarness();
  try {
    make("large", 30);
    docker("save", "-o", join(dir.path, "large.tar"), "large:1");
    docker("rmi", "large:1");
    make("used", 15);
    docker("create", "used:1", "/none");
    const idle = ["idle-1", "idle-2", "idle-3", "idle-4", "idle-5", "idle-6"];
    for (const name of idle) make(name, 15);
    await edge.start(runtime, clock, { dataDir: join(dir.path, "edge"), images: { pulls, gc, archiveDir } });
    const isRoomy = async (): Promise<void> => {
      await clock.advance(300_000);
      const { availableBytes = 0, capacityBytes = 1 } = (await runtime.imageFs()) ?? {};
      expect(availableBytes / capacityBytes).toBeGreaterThanOrEqual(0.4);
    };
    await eventually(20_000, isRoomy);
    const left = names().filter((name) => name.startsWith("idle"));
    expect([names().includes("used"), left.length > 0, left.length < idle.length]).toEqual([
      true,
      true,
      true,
    ]);
    // Unpacked and packed, the archive does not fit beside them.
    for (const name of ["more-1", "more-2"]) make(name, 15);
    renameSync(join(dir.path, "large.tar"), join(archiveDir, "large.tar"));
    // It is seen by one look, and loaded by the next.
    for (const _look of ["seen", "loaded"]) {
      await clock.advance(10_000);
      await Bun.sleep(200);
    }
    await eventually(20_000, async () =>
      expect(edge.log.lines.join("\n")).toContain("no space left on device"),
    );
    await eventually(20_000, async () =>
      expect(names().filter((name) => /idle|more/.test(name))).toEqual([]),
    );
    await eventually(20_000, async () => {
      await clock.advance(60_000);
      expect(names()).toContain("large");
    });
    expect(names()).toContain("used");
  } finally {
    await edge.stop();
    await runtime[Symbol.asyncDispose]();
    await engine.stop();
  }
});
