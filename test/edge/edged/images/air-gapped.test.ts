import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { idle, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);

test.skipIf(!hasEngine())(
  "pods that wait for an image start when its archive was copied to the node",
  async () => {
    using dir = tempDir("air-gapped");
    const archiveDir = join(dir.path, "images");
    mkdirSync(archiveDir);
    const image = `registry.invalid/air-gapped-${process.pid}:1`;
    const saved = join(dir.path, "web.tar");
    {
      using _made = busyboxImage(image);
      docker("save", "-o", saved, image);
    }
    const clock = new FakeClock();
    const owner = `air-gapped-${process.pid}`;
    const runtime = await openDockerRuntime({
      address: `unix://${engineSocket}`,
      owner,
      clock: systemClock,
      log: silentLog(),
    });
    await using edge = new EdgedHarness();
    const reasonOf = (uid = ""): string | undefined =>
      edge.status(uid)?.containerStatuses?.[0]?.state?.waiting?.reason;
    try {
      await edge.start(runtime, clock, {
        dataDir: join(dir.path, "edge"),
        images: {
          pulls: { parallel: 1, idleMs: 20_000, authFile: undefined, mirrors: {} },
          gc: { highPercent: 100, lowPercent: 80, minimumAgeMs: 0, maximumAgeMs: undefined },
          archiveDir,
        },
      });
      const never = podOf("never", { containers: [shell(image, idle, { imagePullPolicy: "Never" })] });
      const ifAbsent = podOf("absent", {
        containers: [shell(image, idle, { imagePullPolicy: "IfNotPresent" })],
      });
      await edge.apply(never);
      await edge.apply(ifAbsent);
      await edge.until("refused", () => reasonOf(never.metadata.uid) === "ErrImageNeverPull");
      await edge.until("not pulled", () => reasonOf(ifAbsent.metadata.uid) === "ErrImagePull");
      renameSync(saved, join(archiveDir, "web.tar"));
      const phases = (): (string | undefined)[] =>
        [never, ifAbsent].map(({ metadata: { uid = "" } }) => edge.status(uid)?.phase);
      await eventually(30_000, async () => {
        await clock.advance(10_000);
        expect(phases()).toEqual(["Running", "Running"]);
      });
    } finally {
      await edge.stop();
      await runtime[Symbol.asyncDispose]();
      removeContainers(owner);
      Bun.spawnSync(["docker", "rmi", "-f", image]);
    }
  },
);
