import { afterAll, describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startMetaManager } from "#edge/meta-manager";
import { openStore } from "#edge/store";
import { Bus } from "#shared/bus";
import type { EdgeCatalog, ReceivedObject } from "#shared/topics";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { objectFrom } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { hasSmallDisks, smallDisk } from "#internal/test/support/machine/small-disk.ts";

const dir = tempDir("kubeedge-full");
const hasDisk = hasSmallDisks();
const disk = hasDisk ? smallDisk(dir.path, "2m") : undefined;

afterAll(() => {
  disk?.[Symbol.dispose]();
  dir[Symbol.dispose]();
});

function configMap(n: number): ReceivedObject {
  return objectFrom({
    operation: "insert",
    resource: `default/configmap/c${n}`,
    content: {
      metadata: { name: `c${n}`, namespace: "default", uid: `u${n}`, resourceVersion: String(n) },
      data: { k: "x".repeat(50_000) },
    },
  });
}

describe.skipIf(!hasDisk)("a full disk", () => {
  test("leaves objects unacknowledged, loses none that was acknowledged, and ends when there is room", async () => {
    const database = join(dir.path, "edge.db");
    const filler = join(dir.path, "filler");
    writeFileSync(filler, Buffer.alloc(500_000));
    const log = silentLog();
    const acked: number[] = [];
    const notified: string[] = [];
    {
      using store = openStore(database);
      using bus = new Bus<EdgeCatalog>({ onFailure: () => undefined });
      const port = bus.port<never, "object.deliver", "config.changed">("test");
      port.on("config.changed", ({ name }) => void notified.push(name));
      await using _manager = await startMetaManager({
        node: "e1",
        port: bus.port("metamanager"),
        store,
        clock: new FakeClock(),
        log,
      });
      const deliver = (n: number): Promise<boolean> =>
        port.ask("object.deliver", configMap(n)).then(
          ({ ack }) => ack,
          () => false,
        );
      let next = 1;
      for (; await deliver(next); next += 1) acked.push(next);
      rmSync(filler);
      if (await deliver(next)) acked.push(next);
    }

    using store = openStore(database);
    const stored = store.metas.listByType("configmap").map(({ key }) => key);
    expect(stored.toSorted()).toEqual(acked.map((n) => `default/configmap/c${n}`).toSorted());
    expect(acked.length).toBeGreaterThan(3);
    expect(notified).toEqual(acked.map((n) => `c${n}`));
    expect(log.lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(["error"]);
  });
});
