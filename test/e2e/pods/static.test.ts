import { expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { demoImage } from "#internal/scripts/engine.ts";
import { hasPair, startPair, until } from "#internal/test/support/pair.ts";

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "panel" },
  spec: {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: "c",
        image: demoImage,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/busybox", "sh", "-c", "echo from a file; exec /bin/busybox sleep 1000"],
      },
    ],
  },
};

test.skipIf(!hasPair())(
  "a static pod is shown by kubectl with its status and log, outlives its mirror, and ends with its file",
  async () => {
    await using pair = await startPair();
    // The folder is made later than edgecore: it is found in the next look.
    const name = `panel-${pair.node}`;
    const file = join(pair.manifestsDir, "panel.json");
    const uid = (): Promise<string> =>
      pair.kubectl("get", "pod", name, "-o", "jsonpath={.metadata.uid} {.status.phase}");
    mkdirSync(pair.manifestsDir);
    writeFileSync(file, JSON.stringify(pod));
    await until(40_000, async () => (await uid()).endsWith(" Running") || "not running");
    const first = await uid();
    expect(await pair.kubectl("logs", name)).toBe("from a file\n");
    const running = pair.containers();
    await pair.kubectl("delete", "pod", name, "--wait=false");
    await until(20_000, async () => {
      const now = await uid();
      return (now !== first && now.endsWith(" Running")) || `still ${now}`;
    });
    expect(pair.containers()).toEqual(running);
    rmSync(file);
    await until(30_000, () => pair.containers().length === 0 || "containers are left");
    await until(20_000, async () => {
      const left = await pair.kubectl("get", "pods", "-o", "name");
      return left === "" || `left: ${left}`;
    });
    await pair.outboxEmpty();
    expect(pair.edgeRuns).toBe(true);
  },
  120_000,
);
