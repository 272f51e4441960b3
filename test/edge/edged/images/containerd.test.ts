import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { openCriRuntime } from "#edge/runtime/cri";
import { ImagePuller } from "#internal/edge/edged/images/puller.ts";
import { systemClock } from "#shared/clock";
import { busyboxImage, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { hasRegistry, startRegistry } from "#internal/test/support/machine/registry.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);

describe.skipIf(!hasContainerd() || !hasEngine() || !hasRegistry())("mirrors and containerd", () => {
  test("an image of a mirror has the name that was wanted, and not that of the mirror", async () => {
    const local = `kubeedge-mirrored-${process.pid}:1`;
    using _image = busyboxImage(local);
    await using mirror = await startRegistry();
    mirror.push(local, "hub/tools/web:7");
    using state = tempDir("cri");
    await using engine = await Containerd.start();
    const [clock, log] = [systemClock, silentLog()];
    const cri = { address: engine.endpoint, owner: "mirrors", dataDir: state.path };
    await using runtime = await openCriRuntime({ ...cri, clock, log });
    await runtime.info();
    const mirrors = { "registry.invalid": [`http://${mirror.host}/hub`] };
    const config = { parallel: 1, idleMs: 10_000, authFile: undefined, mirrors };
    const puller = new ImagePuller(config, { runtime, clock, log });
    const signal = AbortSignal.timeout(30_000);
    const ref = "registry.invalid/tools/web:7";
    await puller.pull({ ref, dockerConfigs: [], record: () => undefined, signal });
    const names = (await runtime.findImage(ref))?.names ?? [];
    expect([
      names.includes(ref),
      names.some((name) => name.startsWith(`${mirror.host}/hub/tools/web:`)),
    ]).toEqual([true, false]);
  });
});
