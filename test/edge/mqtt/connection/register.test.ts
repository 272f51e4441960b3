import { expect, test } from "bun:test";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";

const will = (text: string): object => ({
  will: { topic: "w", payload: Buffer.from(text), qos: 0, retain: false },
});

async function figure(edge: Awaited<ReturnType<typeof startBus>>, name: string): Promise<string> {
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync(`$SYS/broker/${name}`, { qos: 0 });
  const [first] = await seen.count(1);
  await reader.endAsync(true);
  return first?.text ?? "";
}

test("broker keeps a client when others with its id disconnect before they are accepted", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using live = await openRaw(edge.bus.mqttPort);
  live.send(connectPacket("c", will("live")));
  expect((await live.next()).cmd).toBe("connack");
  for (let n = 0; n < 50 && !live.socket.closed; n += 1) {
    using early = await openRaw(edge.bus.mqttPort);
    early.send(connectPacket("c", will("early")));
    early.socket.destroy();
    await early.closed;
  }
  // Either one of them was let in and took over, or the first is still the one that is taken over now.
  using next = await openRaw(edge.bus.mqttPort);
  next.send(connectPacket("c"));
  expect((await next.next()).cmd).toBe("connack");
  await live.closed;
  expect(await figure(edge, "clients/maximum")).toBe("0");
});

test("broker keeps the will of a connection that took over", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using first = await openRaw(edge.bus.mqttPort);
  first.send(connectPacket("c", will("first")));
  await first.next();
  using second = await openRaw(edge.bus.mqttPort);
  second.send(connectPacket("c", will("second")));
  await second.next();
  await first.closed;
  second.send(publishPacket("x", 1, 1));
  await second.next();
  const wills = [...edge.store.mqttSessions.packets()].filter(({ kind }) => kind === "will");
  expect(wills.map(({ payload }) => Buffer.from(payload ?? []).toString())).toEqual(["second"]);
});

test("broker disconnects a client that uses the session marker", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c", { clean: false }), {
    cmd: "unsubscribe",
    messageId: 1,
    unsubscriptions: ["$SYS/session"],
  });
  await client.closed;
});

test("broker handles nothing after a DISCONNECT", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(
    connectPacket("c"),
    { cmd: "disconnect" },
    publishPacket("$hw/events/device/d/twin/update", 1, 1),
  );
  await client.closed;
  expect(edge.received).toEqual([]);
});

test("broker handles a long list of filters without delaying others", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  const subscriptions = Array.from({ length: 8000 }, (_, n) => ({ topic: `f/${n}`, qos: 1 as const }));
  client.send(connectPacket("c", { clean: false }), { cmd: "subscribe", messageId: 1, subscriptions });
  await client.next();
  const suback = await client.next();
  expect("granted" in suback && suback.granted).toHaveLength(8000);
  expect(edge.store.mqttSessions.subscriptions()).toHaveLength(8001);
});
