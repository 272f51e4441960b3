import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

test("broker counts the connections of both ports together, and releases closed ones", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxConnections: 2 } });
  await edge.connect();
  const second = await edge.connect({ websocket: true });
  await expect(edge.connect({ websocket: true })).rejects.toThrow();
  await expect(edge.connect()).rejects.toThrow();
  await second.endAsync(true);
  const third = await connectEventually(() => edge.connect());
  await third.endAsync(true);
  await connectEventually(() => edge.connect({ websocket: true }));
});

test("broker releases the place of a request that is not a WebSocket", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxConnections: 1 } });
  for (let n = 0; n < 3; n += 1)
    expect((await fetch(`http://127.0.0.1:${edge.bus.websocketPort}/`)).status).toBe(426);
});

/** Connects as soon as the broker has noticed that another client has disconnected. */
async function connectEventually<T>(connect: () => Promise<T>): Promise<T> {
  let connected: T | undefined;
  await until(async () => {
    connected = await connect().catch(() => undefined);
    return connected !== undefined;
  });
  if (connected === undefined) throw new Error("not connected");
  return connected;
}
