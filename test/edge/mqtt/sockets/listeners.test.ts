import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";

test("broker counts the connections of both its ports together, and forgets those that end", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxConnections: 2 } });
  await edge.connect();
  const second = await edge.connect({ websocket: true });
  await expect(edge.connect({ websocket: true })).rejects.toThrow();
  await expect(edge.connect()).rejects.toThrow();
  await second.endAsync(true);
  const third = await again(() => edge.connect());
  await third.endAsync(true);
  await again(() => edge.connect({ websocket: true }));
});

test("broker gives a request that is no WebSocket no place for good", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxConnections: 1 } });
  for (let n = 0; n < 3; n += 1)
    expect((await fetch(`http://127.0.0.1:${edge.bus.websocketPort}/`)).status).toBe(426);
});

/** Tries until the broker has seen that another left. */
async function again<T>(run: () => Promise<T>): Promise<T> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      return await run();
    } catch {
      await Bun.sleep(5);
    }
  }
  throw new Error("the place of the one who left is not free");
}
