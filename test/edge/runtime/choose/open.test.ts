import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { ContainerRuntime, RuntimeHint } from "#edge/runtime";
import { openRuntime, type RuntimeEndpoint } from "#edge/runtime/choose";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { AwaitedRuntime } from "#internal/edge/runtime/choose/awaited-runtime.ts";
import { findEndpoint, rememberEndpoint } from "#internal/edge/runtime/choose/find-endpoint.ts";
import { engineSocket, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { systemClock as clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";

setDefaultTimeout(60_000);

describe.skipIf(!hasEngine() || !hasContainerd())("the engine of a node", () => {
  const docker: RuntimeEndpoint = { kind: "docker", address: `unix://${engineSocket}` };
  let engine: Containerd;
  let cri: RuntimeEndpoint;
  beforeAll(async () => {
    engine = await Containerd.start({ hasPauseImage: false });
    cri = { kind: "cri", address: engine.endpoint };
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  const none: RuntimeEndpoint = { kind: "cri", address: "unix:///tmp/kubeedge-no-such.sock" };

  test("is the first that answers", async () => {
    using dir = tempDir();
    const found = [
      await findEndpoint({ dataDir: dir.path, clock, places: [docker, cri] }),
      await findEndpoint({ dataDir: dir.path, clock, places: [none, cri] }),
      await findEndpoint({ dataDir: dir.path, clock, places: [none] }),
    ];
    expect(found).toEqual([
      { endpoint: docker, isKnown: false },
      { endpoint: cri, isKnown: false },
      undefined,
    ]);
  });

  test("is the one that was used before, also while that is away", async () => {
    using dir = tempDir();
    rememberEndpoint(dir.path, cri);
    const found = await findEndpoint({ dataDir: dir.path, clock, places: [docker, cri] });
    rememberEndpoint(dir.path, none);
    const away = await findEndpoint({ dataDir: dir.path, clock, places: [docker, cri] });
    expect([found, away]).toEqual([
      { endpoint: cri, isKnown: true },
      { endpoint: none, isKnown: true },
    ]);
  });

  test("is Docker where a release without a choice left pods, and none is known where none was found", async () => {
    using dir = tempDir();
    const find = () => findEndpoint({ dataDir: dir.path, clock, places: [cri] });
    mkdirSync(join(dir.path, "pods"));
    const fresh = await find();
    mkdirSync(join(dir.path, "pods/uid"));
    const upgraded = await find();
    rememberEndpoint(dir.path, undefined);
    const late = await find();
    expect([fresh, upgraded, late]).toEqual([
      { endpoint: cri, isKnown: false },
      { endpoint: docker, isKnown: true },
      { endpoint: cri, isKnown: false },
    ]);
  });

  test("stays the one with the node's pods when another is configured, and is the other once they are gone", async () => {
    using dir = tempDir();
    const log = silentLog();
    const options = {
      owner: "edge-1-1",
      node: "edge-1",
      dataDir: dir.path,
      logs: { fileBytes: 1024 * 1024, files: 2 },
      clock,
      log,
    };
    const nameOf = async (): Promise<string> => {
      await using runtime = await openRuntime(cri, options);
      return (await runtime.info()).name;
    };
    mkdirSync(join(dir.path, "pods/uid"), { recursive: true });
    const upgraded = await nameOf();
    rmdirSync(join(dir.path, "pods/uid"));
    const drained = await nameOf();
    expect([upgraded, drained]).toEqual(["docker", "containerd"]);
    expect(log.lines.filter((line) => line.includes("staying with the engine"))).toHaveLength(1);
    expect(await findEndpoint({ dataDir: dir.path, clock })).toEqual({ endpoint: cri, isKnown: true });
  });

  test("is not one that serves another interface", async () => {
    using dir = tempDir();
    const places: RuntimeEndpoint[] = [
      { ...cri, kind: "docker" },
      { ...docker, kind: "cri" },
    ];
    expect(await findEndpoint({ dataDir: dir.path, clock, places: places.slice(0, 1) })).toBeUndefined();
  });
});

test("an engine that comes later is used from then on", async () => {
  let engine: ContainerRuntime | undefined;
  let nowMs = 0;
  const waiting = {
    sleep: (_ms: number, options?: object) => clock.sleep(10, options),
    monotonicMs: () => nowMs,
  };
  await using runtime = new AwaitedRuntime(async () => engine, waiting);
  const connected = Promise.withResolvers<RuntimeHint>();
  using _watch = runtime.watch(connected.resolve);
  const before = await runtime.info().catch((error: unknown) => error);
  engine = new FakeRuntime({ nowMs: () => 0 });
  expect(await connected.promise).toEqual({ kind: "connected" });
  nowMs += 2000;
  expect([before, await runtime.info()]).toEqual([
    expect.any(UnavailableError),
    { name: "fake", version: "1" },
  ]);
});
