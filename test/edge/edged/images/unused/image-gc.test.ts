import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ImageAges, ImageGc } from "#edge/edged/images/unused";
import type { PodEvent } from "#edge/edged/events";
import type { GcPolicy } from "#internal/edge/edged/images/unused/removable.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const period = 300_000;
const kubelet: GcPolicy = { highPercent: 85, lowPercent: 80, minimumAgeMs: 120_000, maximumAgeMs: undefined };

class World implements AsyncDisposable {
  readonly dir = tempDir("images");
  readonly clock = new FakeClock();
  readonly runtime = new FakeRuntime(this.clock);
  readonly events: PodEvent[] = [];
  readonly log = silentLog();
  readonly path = join(this.dir.path, "ages.json");
  readonly held = new Set<string>();
  readonly #policy: GcPolicy;
  gc: ImageGc;

  constructor(policy: Partial<GcPolicy> = {}) {
    this.#policy = { ...kubelet, ...policy };
    this.gc = this.#start();
  }

  #start(): ImageGc {
    const { runtime, clock, log } = this;
    const gc = new ImageGc(this.#policy, {
      runtime,
      clock,
      log,
      ages: new ImageAges(this.path, log),
      isHeld: (id) => this.held.has(id),
      record: (event) => this.events.push(event),
    });
    gc.wake();
    return gc;
  }

  async restart(): Promise<void> {
    await this.gc[Symbol.asyncDispose]();
    this.gc = this.#start();
  }

  /** `count` looks. */
  async pass(count = 1): Promise<void> {
    for (let turn = 0; turn < count; turn += 1) await this.clock.advance(period);
  }

  names(): string[] {
    return [...this.runtime.images.keys()].sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gc[Symbol.asyncDispose]();
    this.dir[Symbol.dispose]();
  }
}

test("images nobody uses are removed from the high threshold down to the low one, and no others", async () => {
  await using world = new World();
  const { runtime } = world;
  runtime.imageDisk = 100;
  for (const name of ["ours", "others", "pause:1", "held", "idle-1", "idle-2", "idle-3"])
    runtime.addImage(name, 12);
  runtime.usedByOthers.add("sha256:ours").add("sha256:others");
  world.held.add("sha256:held");
  await world.clock.advance(0);
  runtime.addImage("new", 5);
  await world.pass(1);
  // 89 used: 9 have to go, and one image has 12.
  expect(world.names()).toHaveLength(7);
  expect(world.names()).toEqual(expect.arrayContaining(["held", "new", "others", "ours", "pause:1"]));
  expect(world.events).toEqual([]);
});

test("nothing is removed below the high threshold", async () => {
  await using world = new World();
  world.runtime.imageDisk = 100;
  world.runtime.addImage("idle", 84);
  await world.pass(3);
  expect(world.names()).toEqual(["idle"]);
});

test("the image that was unused for longest goes first, also after a restart", async () => {
  await using world = new World();
  const { runtime } = world;
  runtime.imageDisk = 100;
  runtime.addImage("first", 30);
  runtime.addImage("second", 30);
  runtime.usedByOthers.add("sha256:first");
  await world.pass(2);
  runtime.usedByOthers.clear();
  await world.pass(1);
  await world.restart();
  runtime.addImage("third", 30);
  await world.pass(1);
  expect(world.names()).toEqual(["first", "third"]);
});

test("what cannot be freed is an Event of the Node, and a second failure another", async () => {
  await using world = new World();
  const { runtime } = world;
  runtime.imageDisk = 100;
  runtime.addImage("used", 90);
  runtime.usedByOthers.add("sha256:used");
  await world.pass(1);
  const message =
    "failed to garbage collect required amount of images. Wanted to free 10 bytes, but freed 0 bytes";
  expect(world.events.map((one) => `${one.reason}: ${one.message}`)).toEqual([
    `FreeDiskSpaceFailed: ${message}`,
    `FreeDiskSpaceFailed: ${message}`,
    `ImageGCFailed: ${message}`,
  ]);
});

test("an image that was unused for the maximum age is removed whatever room there is", async () => {
  await using world = new World({ maximumAgeMs: 2 * period });
  const { runtime } = world;
  runtime.imageDisk = 1000;
  runtime.addImage("idle");
  runtime.addImage("used");
  runtime.usedByOthers.add("sha256:used");
  await world.pass(1);
  const before = world.names();
  await world.pass(1);
  expect([before, world.names()]).toEqual([["idle", "used"], ["used"]]);
});

test("the time in which edgecore does not run makes no image older", async () => {
  await using world = new World({ maximumAgeMs: 2 * period });
  world.runtime.addImage("idle");
  await world.pass(1);
  await world.gc[Symbol.asyncDispose]();
  await world.clock.advance(365 * 86_400_000);
  await world.restart();
  await world.clock.advance(0);
  expect(world.names()).toEqual(["idle"]);
});

test("ages in a damaged file begin again", async () => {
  using dir = tempDir("images");
  const path = join(dir.path, "ages.json");
  writeFileSync(path, '{"sha256:a": {"ageMs": "x", "unusedMs": -1}, "sha256:b"');
  const damaged = new ImageAges(path, silentLog()).of("sha256:a");
  writeFileSync(path, '{"sha256:a": {"ageMs": "x", "unusedMs": -1}, "sha256:b": 7}');
  const odd = new ImageAges(path, silentLog()).of("sha256:a");
  expect([damaged, odd]).toEqual([
    { ageMs: 0, unusedMs: 0 },
    { ageMs: 0, unusedMs: 0 },
  ]);
});

test("a node at rest writes the ages once an hour", async () => {
  await using world = new World();
  world.runtime.addImage("idle");
  await world.pass(1);
  const first = readFileSync(world.path, "utf8");
  await world.pass(10);
  const soon = readFileSync(world.path, "utf8");
  await world.pass(2);
  expect([soon === first, readFileSync(world.path, "utf8") === first]).toEqual([true, false]);
});

test("a full disk during a pull removes every image nobody uses", async () => {
  await using world = new World();
  const { runtime } = world;
  runtime.imageDisk = 100;
  runtime.addImage("idle", 30);
  runtime.addImage("used", 30);
  runtime.usedByOthers.add("sha256:used");
  await world.pass(1);
  await world.gc.reclaim();
  expect(world.names()).toEqual(["used"]);
});

test("a thousand images are looked through, and an engine that is away is no failure", async () => {
  await using world = new World();
  const { runtime } = world;
  runtime.imageDisk = 10_000;
  for (let index = 0; index < 1000; index += 1) runtime.addImage(`idle-${index}`, 10);
  runtime.unreachable = true;
  await world.pass(3);
  const away = [world.names().length, world.events.length];
  runtime.unreachable = false;
  await world.pass(3);
  expect([away, world.names().length, world.events]).toEqual([[1000, 0], 800, []]);
});
