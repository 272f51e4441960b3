import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { checkEngine } from "#internal/edge/commands/check/engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { systemClock as clock } from "#shared/clock";
import { openCriRuntime } from "#edge/runtime/cri";
import { pauseImageArchive } from "#edge/runtime/pause-image";
import { silentLog } from "#internal/test/support/silent-log.ts";

setDefaultTimeout(60_000);

describe.skipIf(!hasContainerd())("a containerd without a network and without a registry", () => {
  let engine: Containerd;
  beforeAll(async () => {
    engine = await Containerd.start({ hasNetwork: false, hasPauseImage: false });
  });
  afterAll(() => engine[Symbol.asyncDispose]());

  const examine = () =>
    Array.fromAsync(
      checkEngine({ kind: "cri", address: engine.endpoint }, { dataDir: "", clock, processes: false }),
    );

  test("is found to have neither network nor image for pods, and has the image once its archive was imported", async () => {
    const [network, image] = await examine();
    expect(network).toMatchObject({ state: "fail", subject: "container engine" });
    expect(network?.evidence).toContain(
      "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady",
    );
    expect(image).toMatchObject({ state: "warn", subject: "sandbox image" });
    await engine.load(
      await pauseImageArchive(engine.pauseImage, process.arch === "arm64" ? "arm64" : "amd64"),
    );
    expect((await examine()).at(-1)).toEqual({
      state: "ok",
      subject: "sandbox image",
      evidence: engine.pauseImage,
    });
  });

  test("says as the Node does why it runs no pods", async () => {
    const options = {
      address: engine.endpoint,
      owner: "check",
      dataDir: engine.dir.path,
      clock,
      log: silentLog(),
    };
    await using runtime = await openCriRuntime(options);
    expect((await runtime.info()).problem).toStartWith(
      "container runtime network not ready: NetworkReady=false",
    );
  });
});

test("an endpoint where nothing is fails", async () => {
  const endpoint = { kind: "cri", address: "unix:///tmp/kubeedge-no-such.sock" } as const;
  const found = await Array.fromAsync(checkEngine(endpoint, { dataDir: "", clock, processes: false }));
  expect(found.map(({ state, subject }) => [state, subject])).toEqual([["fail", "container engine"]]);
});
