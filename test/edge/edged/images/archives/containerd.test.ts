import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ImageArchives } from "#edge/edged/images/archives";
import type { ContainerRuntime } from "#edge/runtime";
import { openCriRuntime } from "#edge/runtime/cri";
import { imageArchive } from "#edge/runtime/pause-image";
import { systemClock } from "#shared/clock";
import { completeReference } from "#shared/image-names";
import { eventually } from "#internal/scripts/service.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { makeLayout } from "./layout.ts";

setDefaultTimeout(60_000);
/** How often the directory is looked at. */
const lookMs = 10_000;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";

/** Another image for each name: an image that is the same would be there already. */
async function archiveOf(name: string): Promise<Uint8Array> {
  using dir = tempDir("layer");
  writeFileSync(join(dir.path, "name"), name);
  const layer = Bun.spawnSync(["tar", "-C", dir.path, "-cf", "-", "name"]).stdout;
  return await imageArchive({ name, architecture, layer, config: { Cmd: ["/name"] } });
}

describe.skipIf(!hasContainerd())("image archives and containerd", () => {
  let engine: Containerd;
  let runtime: ContainerRuntime;
  const state = tempDir("cri");
  beforeAll(async () => {
    engine = await Containerd.start();
    runtime = await openCriRuntime({
      address: engine.endpoint,
      owner: "archives",
      dataDir: state.path,
      clock: systemClock,
      log: silentLog(),
    });
  });
  afterAll(async () => {
    await runtime[Symbol.asyncDispose]();
    await engine[Symbol.asyncDispose]();
    state[Symbol.dispose]();
  });

  class World implements AsyncDisposable {
    readonly dir = tempDir("archives");
    readonly state = tempDir("state");
    readonly clock = new FakeClock();
    readonly log = silentLog();
    loaded = 0;
    readonly archives = new ImageArchives({
      dir: this.dir.path,
      recordPath: join(this.state.path, "archives.json"),
      runtime,
      clock: this.clock,
      log: this.log,
      complete: completeReference,
      onLoaded: () => (this.loaded += 1),
      onFull: () => undefined,
    });

    write(name: string, bytes: Uint8Array): void {
      writeFileSync(join(this.dir.path, name), bytes);
    }

    async until(isTrue: () => boolean): Promise<void> {
      await eventually(30_000, async () => {
        await this.clock.advance(lookMs);
        expect(isTrue()).toBe(true);
      });
    }

    async [Symbol.asyncDispose](): Promise<void> {
      await this.archives[Symbol.asyncDispose]();
      this.dir[Symbol.dispose]();
      this.state[Symbol.dispose]();
    }
  }

  test.each([
    ["plain.tar", (bytes: Uint8Array) => bytes],
    ["packed.tar.gz", (bytes: Uint8Array) => Bun.gzipSync(Uint8Array.from(bytes))],
    ["packed.tar.zst", (bytes: Uint8Array) => Bun.zstdCompressSync(bytes)],
    ["layout.tar", layoutOf],
    ["layout.tar.gz", (bytes: Uint8Array) => Bun.gzipSync(Uint8Array.from(layoutOf(bytes)))],
  ])("%p is loaded under the name that pods give", async (file, pack) => {
    await using world = new World();
    const name = `kubeedge-${file.replaceAll(".", "-")}:1`;
    layoutName = name;
    world.write(file, pack(await archiveOf(name)));
    world.archives.start();
    await world.until(() => world.loaded === 1);
    const found = await runtime.findImage(name);
    expect([
      found?.names.includes(`docker.io/library/${name}`),
      world.archives.isHeld(found?.id ?? ""),
    ]).toEqual([true, true]);
  });

  test("an image that containerd has lost is loaded again when it is needed", async () => {
    await using world = new World();
    const name = "kubeedge-lost:1";
    world.write("lost.tar", await archiveOf(name));
    world.archives.start();
    await world.until(() => world.loaded === 1);
    await runtime.removeImage((await runtime.findImage(name))?.id ?? "");
    expect(await runtime.findImage(name)).toBeUndefined();
    expect(await world.archives.provide(completeReference(name))).toBe(true);
    expect(await runtime.findImage(name)).toBeDefined();
  });

  test("a damaged archive is reported with the reason of containerd", async () => {
    await using world = new World();
    const bytes = await archiveOf("kubeedge-damaged:1");
    world.write("cut.tar", bytes.subarray(0, bytes.length / 2));
    world.write("text.tar", Buffer.from("no archive"));
    world.write("cut.tar.zst", Bun.zstdCompressSync(bytes).subarray(0, 300));
    world.archives.start();
    const lines = (): string[] => world.log.lines.filter((line) => line.includes("cannot be loaded"));
    await world.until(() => lines().length === 3);
    expect(lines().every((line) => line.includes("Cannot load images: "))).toBe(true);
    expect(world.loaded).toBe(0);
  });
});

let layoutName = "";

function layoutOf(saved: Uint8Array): Uint8Array {
  using dir = tempDir("layout");
  return readFileSync(makeLayout(dir.path, saved, layoutName));
}
