import { systemClock } from "#shared/clock";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { BrokerPacket, QoS } from "#edge/mqtt/packet";
import { Sessions } from "#edge/mqtt/sessions";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

// Each fills tens of megabytes on disk.
setDefaultTimeout(30_000);

const kilobyte = 1024;
const megabyte = 1024 * 1024;

interface Harness extends Disposable {
  readonly sessions: Sessions;
  /** clients whose messages were dropped */
  readonly dropped: string[];
  begin(client: string, topic: string, qos?: QoS): Promise<void>;
  publish(topic: string, bytes: number, qos?: QoS): Promise<void>;
  topics(client: string): (string | undefined)[];
}

function open(isOnline = (): boolean => true): Harness {
  const dir = tempDir();
  const store = openStore(join(dir.path, "edge.db"));
  const dropped: string[] = [];
  const sessions = new Sessions(store, {
    queueSize: 1000,
    isOnline,
    onDropped: (client) => void dropped.push(client),
    onNotRetained: () => undefined,
    onEvicted: () => undefined,
    clock: systemClock,
    onEnded: () => undefined,
    onWill: () => undefined,
  });
  let count = 0;
  return {
    sessions,
    dropped,
    begin: async (client, topic, qos = 1) => {
      await sessions.subscribe(client, [{ topic, qos }]);
    },
    publish: async (topic, bytes, qos = 1) => {
      const stored = sessions.store({
        cmd: "publish",
        topic,
        payload: Buffer.alloc(bytes),
        qos,
        brokerId: "b",
        brokerCounter: (count += 1),
      });
      await stored?.committed;
      stored?.release();
    },
    topics: (client) => sessions.unsent(client).map(({ topic }) => topic),
    [Symbol.dispose]: () => {
      store[Symbol.dispose]();
      dir[Symbol.dispose]();
    },
  };
}

/** Sends everything that is queued; nothing is acknowledged. */
async function send({ sessions }: Harness, client: string): Promise<void> {
  const stored = sessions
    .unsent(client)
    .map((packet: BrokerPacket, n) => sessions.assign(client, packet, n + 1)?.stored);
  await Promise.all(stored);
}

/** Eight sessions use up the memory with messages of QoS 2 that they do not acknowledge. */
async function fill(harness: Harness): Promise<string[]> {
  const stuck = Array.from({ length: 8 }, (_, n) => `stuck${n}`);
  for (const client of stuck) await harness.begin(client, "stuck", 2);
  for (let n = 0; n < 8; n += 1) await harness.publish("stuck", megabyte, 2);
  for (const client of stuck) await send(harness, client);
  return stuck;
}

test("small sessions get messages while others use up the memory with messages of QoS 2 in flight", async () => {
  using harness = open();
  const stuck = await fill(harness);
  const small = Array.from({ length: 20 }, (_, n) => `small${n}`);
  for (const client of [...small, ...stuck]) await harness.begin(client, "news");
  await harness.publish("news", kilobyte);
  await harness.publish("news", kilobyte);
  for (const client of small) expect(harness.topics(client)).toEqual(["news", "news"]);
  expect(harness.dropped).toEqual([...stuck, ...stuck]);
});

test("a session gets at most 64 KiB of the reserve", async () => {
  using harness = open();
  await fill(harness);
  await harness.begin("small", "news");
  for (let n = 0; n < 100; n += 1) await harness.publish("news", kilobyte);
  expect(harness.topics("small").length).toBe(64);
  expect(harness.dropped.length).toBe(36);
});

test("sessions take at most 80 MiB when each uses the reserve", async () => {
  using harness = open();
  await fill(harness);
  const small = Array.from({ length: 300 }, (_, n) => `small${n}`);
  for (const client of small) await harness.begin(client, "news");
  await harness.publish("news", 64 * kilobyte);
  const held = small.flatMap((client) => harness.topics(client)).length;
  expect(held).toBe(256);
});

test("the largest queue with droppable messages drops one when larger queues have none", async () => {
  using harness = open();
  await fill(harness);
  for (let n = 1; n <= 8; n += 1) harness.sessions.finish("stuck0", n);
  await harness.begin("slow", "slow/#");
  for (let n = 0; n < 8; n += 1) await harness.publish(`slow/${n}`, megabyte);
  await harness.begin("late", "late");
  await harness.publish("late", megabyte);
  expect(harness.topics("late")).toEqual(["late"]);
  expect(harness.topics("slow")).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `slow/${n}`));
  expect(harness.dropped).toEqual(["slow"]);
});

test("an empty session gets a message larger than the limit of a queue", async () => {
  using harness = open();
  await harness.begin("idle", "#");
  await harness.publish("large", 9 * megabyte);
  for (let n = 0; n < 8; n += 1) await harness.publish("next", megabyte);
  expect(harness.topics("idle")).toEqual(["large", ...Array.from({ length: 8 }, () => "next")]);
  await harness.publish("last", megabyte);
  expect(harness.topics("idle").slice(-2)).toEqual(["next", "last"]);
  expect(harness.topics("idle")).not.toContain("large");
});

test("a message larger than the limit of a queue does not drop queued messages", async () => {
  using harness = open();
  await harness.begin("busy", "#");
  await harness.publish("one", kilobyte);
  await harness.publish("two", kilobyte);
  await harness.publish("large", 9 * megabyte);
  expect(harness.topics("busy")).toEqual(["one", "two"]);
  expect(harness.dropped).toEqual(["busy"]);
});

test("a message without room even in a queue without droppable messages drops none", async () => {
  using harness = open();
  await harness.begin("busy", "busy");
  await harness.begin("idle", "huge");
  await harness.publish("busy", megabyte);
  await harness.publish("huge", 65 * megabyte);
  expect(harness.topics("busy")).toEqual(["busy"]);
  expect(harness.dropped).toEqual(["idle"]);
});

test("a message for which messages in flight leave no room drops none", async () => {
  let online = true;
  using harness = open(() => online);
  await harness.begin("c", "t", 2);
  for (let n = 0; n < 1100; n += 1) await harness.publish("t", 1, 2);
  await send(harness, "c");
  for (let n = 0; n < 10; n += 1) await harness.publish("t", 1, 2);
  online = false;
  await harness.publish("t", 1, 2);
  expect([harness.topics("c").length, harness.dropped.length]).toEqual([10, 1]);
});
