import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { edgedWorld, idle, isRunning, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import { noEviction, type EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod } from "#shared/kube";

const owner = `eviction-${process.pid}`;
const image = `kubeedge-eviction-${process.pid}:1`;
setDefaultTimeout(60_000);

const isEvicted = (edge: EdgedHarness, pod: Pod) => (): boolean => {
  const { phase, reason } = edge.status(pod.metadata.uid ?? "") ?? {};
  return phase === "Failed" && reason === "Evicted";
};

function containersOf(pod: Pod): string {
  return docker("ps", "-aq", "--filter", `label=io.kubernetes.pod.uid=${pod.metadata.uid}`);
}

describe.skipIf(!hasEngine() || !hasSmallDisks())("eviction on Docker", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("a pod that fills the disk as fast as it can is evicted, its files are gone and others run on", async () => {
    using dir = tempDir("full");
    const dataDir = join(dir.path, "data");
    using _disk = smallDisk(dataDir, "64m");
    const eviction = { ...noEviction, hard: { "nodefs.available": "10%" } };
    await using at = await edgedWorld(owner, { dataDir, eviction });
    const { edge } = at;
    const volumes = [{ name: "v", emptyDir: {} }];
    const mounts = { volumeMounts: [{ name: "v", mountPath: "/v" }] };
    const quiet = podOf("quiet", { volumes, containers: [shell(image, `echo 1 > /v/a; ${idle}`, mounts)] });
    await edge.apply(quiet);
    await edge.until("quiet runs", () => isRunning(edge, quiet));
    const script = `dd if=/dev/zero of=/v/all bs=64k; ${idle}`;
    const greedy = podOf("greedy", { volumes, containers: [shell(image, script, mounts)] });
    await edge.apply(greedy);
    await edge.until("evicted", isEvicted(edge, greedy));
    expect(edge.status(greedy.metadata.uid ?? "")?.message).toMatch(
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: \d+(Ki)?, available: \d+(Ki|Mi)?\. $/,
    );
    expect(existsSync(join(dataDir, "pods", greedy.metadata.uid ?? ""))).toBe(false);
    const { bavail, blocks } = statfsSync(dataDir);
    expect(bavail / blocks).toBeGreaterThan(0.8);
    expect([containersOf(greedy), isRunning(edge, quiet)]).toEqual(["", true]);
    expect(edge.errors).toEqual([]);
  });

  test("a pod that exceeds the sizeLimit of its volume, and one that writes too much beside volumes, are evicted", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const inVolume = podOf("volume", {
      volumes: [{ name: "v", emptyDir: { sizeLimit: "3Mi" } }],
      containers: [
        shell(image, `dd if=/dev/zero of=/v/all bs=1M count=4; ${idle}`, {
          volumeMounts: [{ name: "v", mountPath: "/v" }],
        }),
      ],
    });
    const limits = { "ephemeral-storage": "3Mi" };
    const inRoot = podOf("root", {
      containers: [shell(image, `dd if=/dev/zero of=/all bs=1M count=4; ${idle}`, { resources: { limits } })],
    });
    const inLogs = podOf("logs", {
      containers: [
        shell(
          image,
          `dd if=/dev/zero bs=1M count=4 | while read -n 100000 x; do echo $x; done; cat /bin/busybox; ${idle}`,
          {
            resources: { limits: { "ephemeral-storage": "512Ki" } },
          },
        ),
      ],
    });
    for (const pod of [inVolume, inRoot, inLogs]) await edge.apply(pod);
    for (const pod of [inVolume, inRoot, inLogs]) await edge.until("evicted", isEvicted(edge, pod), 50_000);
    const messageOf = (pod: Pod) => edge.status(pod.metadata.uid ?? "")?.message;
    expect([messageOf(inVolume), messageOf(inRoot), messageOf(inLogs)]).toEqual([
      'Usage of EmptyDir volume "v" exceeds the limit "3Mi". ',
      "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ",
      "Pod ephemeral local storage usage exceeds the total limit of containers 512Ki. ",
    ]);
    expect([inVolume, inRoot, inLogs].map(containersOf)).toEqual(["", "", ""]);
  });
});
