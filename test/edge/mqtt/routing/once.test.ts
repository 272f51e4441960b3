import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Store } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw, publishPacket } from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const update = "$hw/events/device/d1/twin/update";

/** The disk is full until the end of the scope. */
function fullDisk(store: Store): Disposable {
  const { transaction } = store;
  const refuse = (): never => {
    throw new Error("database or disk is full");
  };
  Object.assign(store, { transaction: refuse });
  return { [Symbol.dispose]: () => void Object.assign(store, { transaction }) };
}

test.each([1, 2] as const)(
  "broker delivers a message of QoS %i once to a session that subscribes meanwhile",
  async (qos) => {
    using dir = tempDir();
    const safe = Promise.withResolvers<void>();
    await using edge = await startBus(dir.path, { receive: () => safe.promise });
    const [reader, writer] = [await edge.connect({ clean: false, clientId: "reader" }), await edge.connect()];
    const seen = collect(reader);
    await reader.subscribeAsync([update, "end"], { qos });
    const published = writer.publishAsync(update, "one", { qos });
    await until(() => edge.received.length > 0);
    await reader.subscribeAsync("other", { qos: 1 });
    safe.resolve();
    await published;
    await reader.subscribeAsync("another", { qos: 1 });
    await writer.publishAsync("end", "end", { qos });
    await until(() => seen.all.some(({ text }) => text === "end"));
    expect(seen.all.map(({ text }) => text)).toEqual(["one", "end"]);
  },
);

test("broker accepts the id of a message of QoS 2 again when its client began a new session", async () => {
  using dir = tempDir();
  const safe = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => safe.promise });
  const seen = collect(await edge.connect());
  const reader = await edge.connect();
  const news = collect(reader);
  await reader.subscribeAsync("news", { qos: 2 });
  {
    using first = await openRaw(edge.bus.mqttPort);
    first.send(connectPacket("c"), publishPacket(update, 2, 1));
    await first.next();
    await until(() => edge.received.length > 0);
  }
  using again = await openRaw(edge.bus.mqttPort);
  again.send(connectPacket("c"));
  await again.next();
  safe.resolve();
  again.send(publishPacket("news", 2, 1));
  expect((await again.next()).cmd).toBe("pubrec");
  expect((await news.count(1)).map(({ topic }) => topic)).toEqual(["news"]);
  expect(seen.all).toEqual([]);
});

test("broker stores a message of QoS 2 once when it is repeated while it is being stored", async () => {
  using dir = tempDir();
  const safe = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => safe.promise });
  const session = connectPacket("c", { clean: false });
  {
    using first = await openRaw(edge.bus.mqttPort);
    first.send(session, publishPacket(update, 2, 1), publishPacket(update, 2, 1, true));
    await first.next();
    await until(() => edge.received.length > 0);
  }
  using again = await openRaw(edge.bus.mqttPort);
  again.send(session, publishPacket(update, 2, 1, true));
  expect(await again.next()).toMatchObject({ cmd: "connack", sessionPresent: true });
  safe.resolve();
  expect(await again.next()).toMatchObject({ cmd: "pubrec", messageId: 1 });
  expect(edge.received.length).toBe(1);
});

test("broker keeps the order of messages of QoS 2, whichever is stored first", async () => {
  using dir = tempDir();
  const first = Promise.withResolvers<void>();
  const waits = [first.promise, Promise.resolve()];
  await using edge = await startBus(dir.path, { receive: () => waits.shift() ?? Promise.resolve() });
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync(update, { qos: 2 });
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c"), publishPacket(update, 2, 1), publishPacket(update, 2, 2));
  await client.next();
  await until(() => edge.received.length === 2);
  first.resolve();
  const ids = [(await client.next()).messageId, (await client.next()).messageId];
  const texts = (await seen.count(2)).map(({ text }) => text.at(-1));
  expect({ ids, texts }).toEqual({ ids: [1, 2], texts: ["1", "2"] });
});

test.each([1, 2] as const)(
  "broker queues a message of QoS %i once for an offline reader, however often the disk was full",
  async (qos) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    const reader = await edge.connect({ clean: false, clientId: "reader" });
    await reader.subscribeAsync("n", { qos });
    await reader.endAsync();
    const session = connectPacket("c", { clean: false });
    const send = async (): Promise<string> => {
      using client = await openRaw(edge.bus.mqttPort);
      client.send(session);
      await client.next();
      client.send(publishPacket("n", qos, 1));
      const answer = await Promise.race([client.next().then(({ cmd }) => cmd), client.closed]);
      return String(answer);
    };
    {
      using client = await openRaw(edge.bus.mqttPort);
      client.send(session);
      await client.next();
    }
    for (let n = 0; n < 3; n += 1) {
      using client = await openRaw(edge.bus.mqttPort);
      client.send(session);
      await client.next();
      using _full = fullDisk(edge.store);
      client.send(publishPacket("n", qos, 1));
      await client.closed;
    }
    expect(await send()).toBe(qos === 1 ? "puback" : "pubrec");
    const queued = [...edge.store.mqttSessions.packets()].filter(({ kind }) => kind === "out");
    expect(queued.length).toBe(1);
  },
);

test("broker stores a message of QoS 2 and its id in one commit", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const reader = await edge.connect({ clean: false, clientId: "reader" });
  await reader.subscribeAsync("n", { qos: 2 });
  await reader.endAsync();
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("c", { clean: false }));
  await client.next();
  const kinds: string[] = [];
  const { transaction } = edge.store;
  const watched = (work: () => unknown): unknown => {
    const done = transaction(work);
    kinds.push([...edge.store.mqttSessions.packets()].map(({ kind }) => kind).join());
    return done;
  };
  Object.assign(edge.store, { transaction: watched });
  client.send(publishPacket("n", 2, 1, false));
  expect((await client.next()).cmd).toBe("pubrec");
  expect(kinds).toEqual(["out,in"]);
});

test("broker acknowledges a release only when it is stored, and frees the id then", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  const session = connectPacket("c", { clean: false });
  {
    await using edge = await startBus(dir.path, { database });
    using client = await openRaw(edge.bus.mqttPort);
    client.send(session, publishPacket("n", 2, 1));
    await client.next();
    expect((await client.next()).cmd).toBe("pubrec");
    {
      using _full = fullDisk(edge.store);
      client.send({ cmd: "pubrel", messageId: 1 });
      await client.closed;
    }
    using again = await openRaw(edge.bus.mqttPort);
    again.send(session, { cmd: "pubrel", messageId: 1 });
    await again.next();
    expect((await again.next()).cmd).toBe("pubcomp");
  }
  await using edge = await startBus(dir.path, { database });
  expect([...edge.store.mqttSessions.packets()]).toEqual([]);
});

test("broker does not reuse the id of a message of QoS 2 in flight", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { sessionQueueSize: 2 } });
  const session = connectPacket("half", { clean: false });
  const writer = await edge.connect();
  {
    using client = await openRaw(edge.bus.mqttPort);
    client.send(session, { cmd: "subscribe", messageId: 9, subscriptions: [{ topic: "n", qos: 2 }] });
    expect([(await client.next()).cmd, (await client.next()).cmd]).toEqual(["connack", "suback"]);
    await writer.publishAsync("n", "one", { qos: 2 });
    expect(await client.next()).toMatchObject({ cmd: "publish", messageId: 1 });
    client.socket.end();
    await client.closed;
  }
  for (const text of ["two", "three", "four"]) await writer.publishAsync("n", text, { qos: 2 });
  using again = await openRaw(edge.bus.mqttPort);
  again.send(session);
  await again.next();
  const texts: string[] = [];
  for (let n = 0; n < 2; n += 1) {
    const packet = await again.next();
    texts.push(`${packet.messageId} ${"payload" in packet ? String(packet.payload) : ""}`);
  }
  expect(texts).toEqual(["1 one", "2 four"]);
});

test("broker waits for acknowledgements of a persistent session and continues in order", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [writer, total] = [await edge.connect(), 3000];
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("slow", { clean: false }), {
    cmd: "subscribe",
    messageId: 1,
    subscriptions: [{ topic: "n", qos: 1 }],
  });
  await client.next();
  await client.next();
  await Promise.all(Array.from({ length: total }, (_, n) => writer.publishAsync("n", String(n), { qos: 1 })));
  const texts: string[] = [];
  const ids: number[] = [];
  while (texts.length < total) {
    const packet = await client.next();
    if (packet.cmd !== "publish") continue;
    texts.push(String(packet.payload));
    ids.push(packet.messageId ?? 0);
    if (ids.length < 1000 && texts.length < total) continue;
    for (const messageId of ids.splice(0)) client.send({ cmd: "puback", messageId });
  }
  expect(texts).toEqual(Array.from({ length: total }, (_, n) => String(n)));
});

test.each([true, false])(
  "broker disconnects a client that releases nothing after thousands of messages (clean: %p)",
  async (clean) => {
    using dir = tempDir();
    await using edge = await startBus(dir.path);
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("c", { clean }));
    await client.next();
    const publish = (from: number, to: number): void =>
      client.send(...Array.from({ length: to - from }, (_, n) => publishPacket("x", 2, from + n)));
    publish(1, 10_001);
    for (let n = 0; n < 10_000; n += 1) expect((await client.next()).cmd).toBe("pubrec");
    client.send({ cmd: "pubrel", messageId: 1 });
    expect((await client.next()).cmd).toBe("pubcomp");
    publish(10_001, 10_002);
    expect((await client.next()).cmd).toBe("pubrec");
    publish(10_002, 10_003);
    await client.closed;
    expect([...edge.store.mqttSessions.packets()]).toHaveLength(clean ? 0 : 10_000);
  },
  60_000,
);
