import { expect, test } from "bun:test";
import type { ISubscription } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "#internal/test/edge/eventbus/harness.ts";
import { connectPacket, openRaw, publishPacket, type RawClient } from "./raw-client.ts";

/** @returns the codes it is answered with */
async function subscribe(client: RawClient, subscriptions: ISubscription[], messageId = 1): Promise<unknown> {
  client.send({ cmd: "subscribe", messageId, subscriptions });
  const answer = await client.next();
  return "granted" in answer ? answer.granted : answer;
}

test.each([true, false])(
  "broker answers a filter that comes twice twice, and keeps what was asked last (clean: %p)",
  async (clean) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("c", { clean }));
    await client.next();
    const asked = [
      { topic: "a", qos: 2 },
      { topic: "b", qos: 0 },
      { topic: "a", qos: 1 },
    ] as const;
    expect(await subscribe(client, [...asked])).toEqual([2, 0, 1]);
    client.send(publishPacket("a", 1, 7));
    const got = [await client.next(), await client.next()].find(({ cmd }) => cmd === "publish");
    expect(got).toMatchObject({ topic: "a", qos: 1 });
  },
);

test("broker answers what is subscribed and published in one piece in order", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(
    connectPacket("c", { clean: false }),
    publishPacket("$hw/events/device/d/twin/update", 1, 1),
    { cmd: "subscribe", messageId: 2, subscriptions: [{ topic: "x", qos: 0 }] },
    { cmd: "unsubscribe", messageId: 3, unsubscriptions: ["x"] },
    publishPacket("y", 1, 4),
  );
  const answers = [];
  for (let n = 0; n < 5; n += 1) answers.push((await client.next()).cmd);
  expect(answers).toEqual(["connack", "puback", "suback", "unsuback", "puback"]);
  expect(edge.store.mqttSessions.subscriptions().map(({ topic }) => topic)).toEqual(["$SYS/session"]);
});
