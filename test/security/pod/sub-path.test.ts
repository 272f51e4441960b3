import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Container, Pod } from "#shared/kube";
import { busyboxImage, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { edgedWorld, idle, podOf, shell } from "#internal/test/support/edge/edged-world.ts";

setDefaultTimeout(90_000);
const owner = `sec-subpath-${process.pid}`;
const image = `kubeedge-sec-subpath-${process.pid}:1`;
const tries = 10;
const mountsEach = 1;

/** Swaps a directory of the shared volume and a link to the host's root, as fast as it can. */
const swapper = "cd /v; while :; do mv dir aside; ln -s / dir; rm dir; mv aside dir; done";

function victim(index: number): Container {
  const mounts = Array.from({ length: mountsEach }, (_, at) => ({
    name: "v",
    mountPath: `/m${at}`,
    subPath: "dir",
  }));
  const look = "for m in /m*; do [ -e $m/etc/hostname ] && echo escaped > $m/tmp/$MARK; done";
  return {
    ...shell(image, `${look}; ${idle}`, { volumeMounts: mounts }),
    name: `s${index}`,
    env: [{ name: "MARK", value: `kubeedge-escape-${process.pid}` }],
  };
}

describe.skipIf(!hasEngine())("a subPath", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("never mounts a host directory when another container swaps it for a link", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    const sidecar = {
      ...shell(image, `mkdir /v/dir; chmod 777 /v/dir; ${swapper}`),
      name: "swapper",
      volumeMounts: [{ name: "v", mountPath: "/v" }],
      restartPolicy: "Always" as const,
    };
    const pod: Pod = podOf("swap", {
      volumes: [{ name: "v", emptyDir: {} }],
      initContainers: [sidecar],
      containers: Array.from({ length: tries }, (_, index) => victim(index)),
    });
    const mark = join("/tmp", `kubeedge-escape-${process.pid}`);
    await edge.apply(pod);
    const started = (): number =>
      (edge.status(pod.metadata.uid ?? "")?.containerStatuses ?? []).filter((one) => one.state?.running)
        .length;
    await edge.until("some started", () => existsSync(mark) || started() >= 3, 60_000);
    const escaped = existsSync(mark);
    Bun.spawnSync(["rm", "-f", mark]);
    expect(escaped).toBe(false);
    await edge.stop();
    expect(readdirSync(join(at.dataDir, "subpaths"))).toEqual([]);
  });
});
