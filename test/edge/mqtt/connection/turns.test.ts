import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:net";
import { generate } from "mqtt-packet";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import {
  connectPacket,
  openRaw,
  publishPacket,
  type RawClient,
} from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const update = "$hw/events/device/d1/twin/update";

test("nothing is handled behind a packet that ended the connection", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const problems: unknown[] = [];
  const note = (error: unknown): void => void problems.push(error);
  process.on("uncaughtException", note);
  process.on("unhandledRejection", note);
  using stack = new DisposableStack();
  stack.defer(() => process.off("uncaughtException", note).off("unhandledRejection", note));
  const [again, release] = [connectPacket("x"), { cmd: "pubrel", messageId: 1 } as const];
  for (const last of [release, publishPacket("a", 1, 1), publishPacket("a", 2, 1)]) {
    using client = await openRaw(edge.bus.mqttPort);
    client.send(connectPacket("x"), publishPacket("$SYS/x", 0, 1), again, last);
    await client.closed;
  }
  using early = await openRaw(edge.bus.mqttPort);
  early.send(release, connectPacket("x"), release);
  await early.closed;
  // Packets of another client are handled after all of these.
  using later = await openRaw(edge.bus.mqttPort);
  later.send(connectPacket("later"), publishPacket("b", 2, 1), { cmd: "pubrel", messageId: 1 });
  expect([(await later.next()).cmd, (await later.next()).cmd, (await later.next()).cmd]).toEqual([
    "connack",
    "pubrec",
    "pubcomp",
  ]);
  expect(problems).toEqual([]);
});

test("packets of a client that has not read its queue yet are handled", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [reader, writer] = [await edge.connect(), await edge.connect()];
  const seen = collect(reader);
  await reader.subscribeAsync("news", { qos: 1 });
  const first = await edge.connect({ clean: false, clientId: "offline" });
  await first.subscribeAsync("a", { qos: 1 });
  await first.endAsync();
  for (let n = 0; n < 90; n += 1) await writer.publishAsync("a", Buffer.alloc(88_000), { qos: 1 });
  const back = connect({ port: edge.bus.mqttPort ?? 0, host: "127.0.0.1" });
  await once(back, "connect");
  back.write(generate(connectPacket("offline", { clean: false })));
  // It reads the CONNACK and no more.
  await once(back, "data");
  back.pause();
  back.write(generate(publishPacket("news", 1, 1)));
  expect((await seen.count(1)).map(({ text }) => text)).toEqual(["news 1"]);
  back.destroy();
});

test("nothing more is read from a client that reads no acknowledgements, until it does", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const client = connect({ port: edge.bus.mqttPort ?? 0, host: "127.0.0.1" });
  client.pause();
  await once(client, "connect");
  client.write(generate(connectPacket("flooding")));
  const chunk = Buffer.concat(Array.from({ length: 5000 }, () => generate(publishPacket("q", 1, 1))));
  let chunks = 0;
  const most = 2000;
  for (; chunks < most && client.writableLength < 4_000_000; chunks += 1) {
    client.write(chunk);
    // A turn in which the broker reads, if it does.
    if (chunks % 20 === 0) await Bun.sleep(1);
  }
  expect(chunks).toBeLessThan(most);
  let bytes = 0;
  const whole = new Promise<void>((resolve) =>
    client.on("data", (data) => {
      bytes += data.length;
      if (bytes >= 4 + chunks * 5000 * 4) resolve();
    }),
  );
  client.resume();
  await whole;
  client.destroy();
}, 60_000);

test("a burst of QoS 2 is bounded only by message ids", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [reader, writer] = [await edge.connect(), await edge.connect({ reconnectPeriod: 0 })];
  const seen = collect(reader);
  await reader.subscribeAsync("a", { qos: 2 });
  const numbers = Array.from({ length: 3000 }, (_, n) => String(n));
  await Promise.all(numbers.map((text) => writer.publishAsync("a", text, { qos: 2 })));
  expect((await seen.count(numbers.length)).map(({ text }) => text)).toEqual(numbers);
}, 20_000);

test("a message of QoS 2 whose session has ended is not noted in the next one", async () => {
  using dir = tempDir();
  const safe = Promise.withResolvers<undefined>();
  await using edge = await startBus(dir.path, { receive: () => safe.promise });
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync({ news: { qos: 2 }, [update]: { qos: 2 } });
  const first = await openRaw(edge.bus.mqttPort);
  first.send(connectPacket("c", { clean: false }), publishPacket(update, 2, 1));
  await first.next();
  await until(() => edge.received.length > 0);
  first.socket.destroy();
  using between = await openRaw(edge.bus.mqttPort);
  between.send(connectPacket("c"));
  await between.next();
  using again = await openRaw(edge.bus.mqttPort);
  again.send(connectPacket("c", { clean: false }));
  expect(await again.next()).toMatchObject({ cmd: "connack", sessionPresent: false });
  safe.resolve(undefined);
  await seen.count(1);
  again.send(publishPacket("news", 2, 1));
  expect((await again.next()).cmd).toBe("pubrec");
  expect((await seen.count(2)).map(({ topic }) => topic)).toEqual([update, "news"]);
});

test("a client whose session is ended by another one while it connects gets a session or is disconnected", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const before = await edge.connect({ clean: false, clientId: "x" });
  await before.subscribeAsync("t", { qos: 1 });
  await before.endAsync();
  const will = { topic: "w", payload: Buffer.from("gone"), qos: 0, retain: false };
  using persistent = await openRaw(edge.bus.mqttPort);
  using clean = await openRaw(edge.bus.mqttPort);
  persistent.send(connectPacket("x", { clean: false, will }));
  clean.send(connectPacket("x"));
  const nextOf = ({ next, closed }: RawClient): Promise<string> =>
    Promise.race([next().then(({ cmd }) => cmd), closed.then(() => "closed")]);
  const [first] = await Promise.all([nextOf(persistent), nextOf(clean)]);
  const writer = await edge.connect();
  await writer.publishAsync("t", "1", { qos: 1 });
  const fate = first === "connack" ? [first, await nextOf(persistent)] : [first];
  expect([["connack", "publish"], ["connack", "closed"], ["closed"]]).toContainEqual(fate);
});

test("packets that arrive in one piece are answered and delivered in order, a ping last", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  using client = await openRaw(edge.bus.mqttPort);
  client.send(connectPacket("x"));
  await client.next();
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "a", qos: 1 }] });
  await client.next();
  client.send(publishPacket("a", 0, 0), publishPacket("a", 1, 1), publishPacket("a", 0, 0), {
    cmd: "pingreq",
  });
  const seen = [];
  for (let n = 0; n < 5; n += 1) seen.push(await client.next());
  expect(
    seen.map((packet) => ("qos" in packet && packet.cmd === "publish" ? packet.qos : packet.cmd)),
  ).toEqual([0, 1, "puback", 0, "pingresp"]);
});
