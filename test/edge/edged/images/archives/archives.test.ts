import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ImageArchives } from "#edge/edged/images/archives";
import { completeReference } from "#shared/image-names";
import { AwaitedRuntime } from "#internal/edge/runtime/choose/awaited-runtime.ts";
import type { ContainerRuntime, ImageStore } from "#edge/runtime";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import { AppError } from "#shared/errors";
import { eventually } from "#internal/scripts/service.ts";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
} from "#internal/test/support/machine/container-engine.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { makeLayout } from "./layout.ts";

setDefaultTimeout(30_000);
const image = `kubeedge-archive-${process.pid}:1`;
/** How often the directory is looked at. */
const lookMs = 10_000;

describe.skipIf(!hasEngine())("image archives", () => {
  let runtime: ContainerRuntime;
  const options = {
    address: `unix://${engineSocket}`,
    owner: "archives",
    clock: systemClock,
    log: silentLog(),
  };
  let tar: Buffer;
  let id: string;

  beforeAll(async () => {
    runtime = await openDockerRuntime(options);
    using dir = tempDir("archive");
    using _made = busyboxImage(image);
    docker("save", "-o", join(dir.path, "image.tar"), image);
    tar = readFileSync(join(dir.path, "image.tar"));
    id = docker("inspect", "--format", "{{.Id}}", image);
  });
  afterAll(async () => {
    await runtime?.[Symbol.asyncDispose]();
    Bun.spawnSync(["docker", "rmi", "-f", image]);
  });

  class World implements AsyncDisposable {
    readonly dir = tempDir("archives");
    readonly state = tempDir("state");
    readonly clock = new FakeClock();
    readonly log = silentLog();
    loaded = 0;
    archives = this.start();

    constructor() {
      Bun.spawnSync(["docker", "rmi", "-f", image]);
    }

    start(engine = runtime): ImageArchives {
      const { clock, log } = this;
      return new ImageArchives({
        dir: this.dir.path,
        recordPath: join(this.state.path, "archives.json"),
        runtime: engine,
        clock,
        log,
        complete: completeReference,
        onLoaded: () => (this.loaded += 1),
        onFull: () => undefined,
      });
    }

    path(name: string): string {
      return join(this.dir.path, name);
    }

    /** Looks again until something is true. */
    async until(isTrue: () => boolean): Promise<void> {
      await eventually(20_000, async () => {
        await this.clock.advance(lookMs);
        expect(isTrue()).toBe(true);
      });
    }

    /** Looks some times more, in which nothing is to happen. */
    async rest(): Promise<void> {
      for (let turn = 0; turn < 5; turn += 1) {
        await this.clock.advance(lookMs);
        await Bun.sleep(20);
      }
    }

    linesWith(text: string): string[] {
      return this.log.lines.filter((line) => line.includes(text));
    }

    async [Symbol.asyncDispose](): Promise<void> {
      await this.archives[Symbol.asyncDispose]();
      this.dir[Symbol.dispose]();
      this.state[Symbol.dispose]();
    }
  }

  test("an archive is loaded at start, once, and not again after a restart", async () => {
    await using world = new World();
    writeFileSync(world.path("web.tar"), tar);
    world.archives.start();
    await world.until(() => world.loaded === 1);
    await world.rest();
    await world.archives[Symbol.asyncDispose]();
    world.archives = world.start();
    world.archives.start();
    await world.rest();
    expect([world.loaded, (await runtime.findImage(image))?.id, world.archives.isHeld(id)]).toEqual([
      1,
      id,
      true,
    ]);
  });

  test.each([
    ["web.tar.gz", (bytes: Buffer) => Bun.gzipSync(Uint8Array.from(bytes))],
    ["web.tar.zst", (bytes: Buffer) => Bun.zstdCompressSync(bytes)],
  ])("%p is read", async (name, compress) => {
    await using world = new World();
    world.archives.start();
    await world.rest();
    writeFileSync(world.path(name), compress(tar));
    await world.until(() => world.loaded === 1);
    expect((await runtime.findImage(image))?.id).toBe(id);
  });

  test.each(["layout.tar", "layout.tar.gz", "layout.tar.zst"])(
    "an OCI layout %p is read, by the architecture of the machine",
    async (name) => {
      await using world = new World();
      using dir = tempDir("layout");
      const layout = makeLayout(dir.path, tar, image);
      const bytes = readFileSync(layout);
      const packed: Uint8Array = name.endsWith("gz")
        ? Bun.gzipSync(Uint8Array.from(bytes))
        : name.endsWith("zst")
          ? Bun.zstdCompressSync(bytes)
          : bytes;
      writeFileSync(world.path(name), packed);
      world.archives.start();
      await world.until(() => world.loaded === 1);
      expect((await runtime.findImage(image))?.id).toBe(id);
    },
  );

  test("an archive that is still being copied is left alone until it is complete", async () => {
    await using world = new World();
    world.archives.start();
    await world.rest();
    const part = Math.ceil(tar.length / 4);
    for (let at = 0; at < tar.length; at += part) {
      appendFileSync(world.path("slow.tar"), tar.subarray(at, at + part));
      await world.clock.advance(lookMs);
    }
    await world.until(() => world.loaded === 1);
    expect(world.linesWith("cannot be loaded")).toEqual([]);
  });

  test("a damaged archive is reported once by its name, others are loaded, and it is tried again when it changes", async () => {
    await using world = new World();
    writeFileSync(world.path("a-cut.tar"), tar.subarray(0, tar.length / 2));
    writeFileSync(world.path("b-text.tar"), "no archive");
    writeFileSync(world.path("c-good.tar.gz"), Bun.gzipSync(Uint8Array.from(tar)));
    writeFileSync(world.path("d-cut.tar.zst"), Bun.zstdCompressSync(tar).subarray(0, 5000));
    writeFileSync(world.path("notes.txt"), "not an archive");
    world.archives.start();
    await world.until(() => world.loaded === 1);
    await world.until(() => world.linesWith("cannot be loaded").length === 3);
    await world.rest();
    const faults = world
      .linesWith("cannot be loaded")
      .map((line) => /[a-d]-\w+\.tar(\.zst)?/.exec(line)?.[0]);
    expect(new Set(faults)).toEqual(new Set(["a-cut.tar", "b-text.tar", "d-cut.tar.zst"]));
    writeFileSync(world.path("a-cut.tar.part"), tar);
    renameSync(world.path("a-cut.tar.part"), world.path("a-cut.tar"));
    await world.until(() => world.loaded === 2);
  });

  test("an image that the engine has lost is loaded again when it is needed, and when edgecore starts", async () => {
    await using world = new World();
    writeFileSync(world.path("web.tar"), tar);
    world.archives.start();
    await world.until(() => world.loaded === 1);
    docker("rmi", "-f", image);
    expect(await world.archives.provide(completeReference("other:1"))).toBe(false);
    expect(await world.archives.provide(completeReference(image))).toBe(true);
    expect((await runtime.findImage(image))?.id).toBe(id);
    docker("rmi", "-f", image);
    await world.archives[Symbol.asyncDispose]();
    world.archives = world.start();
    world.archives.start();
    await world.until(() => world.loaded === 3);
  });

  test("an archive that is removed holds its image no longer, and one with a new time is loaded again", async () => {
    await using world = new World();
    writeFileSync(world.path("web.tar"), tar);
    world.archives.start();
    await world.until(() => world.loaded === 1);
    utimesSync(world.path("web.tar"), 1, 1);
    await world.until(() => world.loaded === 2);
    rmSync(world.path("web.tar"));
    await world.until(() => !world.archives.isHeld(id));
  });

  test("archives are loaded once the engine has come, of which edgecore waited for the start", async () => {
    await using world = new World();
    writeFileSync(world.path("web.tar"), tar);
    let isInstalled = false;
    await using late = new AwaitedRuntime(
      async () => (isInstalled ? openDockerRuntime(options) : undefined),
      systemClock,
    );
    world.archives = world.start(late);
    world.archives.start();
    await world.rest();
    expect([world.loaded, world.linesWith("has no effect")]).toEqual([0, []]);
    isInstalled = true;
    await world.until(() => world.loaded === 1);
  });

  test("an archive that the engine refused is tried again later, and when edgecore starts", async () => {
    await using world = new World();
    const fake = new FakeRuntime(world.clock);
    let [tries, isWell] = [0, false];
    const store: ImageStore = {
      ...fake.imageStore,
      load: async () => {
        tries += 1;
        if (!isWell) throw new AppError("engine-refused", "Cannot load images: internal error");
        return [image];
      },
    };
    Object.defineProperty(fake, "imageStore", { value: store });
    writeFileSync(world.path("web.tar"), tar);
    world.archives = world.start(fake);
    world.archives.start();
    await world.until(() => tries === 3);
    for (let turn = 0; turn < 10; turn += 1) await world.rest();
    expect([tries, world.linesWith("cannot be loaded").length]).toEqual([3, 1]);
    await world.archives[Symbol.asyncDispose]();
    isWell = true;
    world.archives = world.start(fake);
    world.archives.start();
    await world.until(() => world.loaded === 1);
    expect(tries).toBe(4);
  });

  test("a directory that is not there is reported once", async () => {
    await using world = new World();
    rmSync(world.dir.path, { recursive: true });
    world.archives.start();
    await world.rest();
    expect(world.linesWith("cannot read edged.image-dir")).toHaveLength(1);
  });
});
