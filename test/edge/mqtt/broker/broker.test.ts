import { expect, test } from "bun:test";
import { connect as connectSocket } from "node:net";
import { once } from "node:events";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";

const update = "$hw/events/device/d1/twin/update";

test.each([0, 1, 2] as const)("broker delivers QoS %i between clients", async (qos) => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [reader, writer] = [await edge.connect(), await edge.connect({ websocket: true })];
  const seen = collect(reader);
  await reader.subscribeAsync("a/+/b", { qos });
  await writer.publishAsync("a/x/b", "hello", { qos });
  expect(await seen.count(1)).toEqual([{ topic: "a/x/b", text: "hello", qos, retain: false }]);
});

test("broker acknowledges a device's message only when the twins have it", async () => {
  using dir = tempDir();
  const safe = Promise.withResolvers<void>();
  await using edge = await startBus(dir.path, { receive: () => safe.promise });
  const [client, other] = [await edge.connect(), await edge.connect()];
  let acknowledged = false;
  const published = client.publishAsync(update, "{}", { qos: 1 }).then(() => (acknowledged = true));
  while (edge.received.length === 0) await other.publishAsync("other", "x", { qos: 1 });
  expect({ received: edge.received.length, acknowledged }).toEqual({ received: 1, acknowledged: false });
  safe.resolve();
  await published;
});

test("broker keeps retained messages, sessions and their queues over a restart", async () => {
  using dir = tempDir();
  {
    await using edge = await startBus(dir.path);
    const reader = await edge.connect({ clientId: "reader", clean: false });
    await reader.subscribeAsync("q/#", { qos: 1 });
    await reader.endAsync();
    const writer = await edge.connect();
    for (let n = 0; n < 5; n += 1) await writer.publishAsync(`q/${n}`, `m${n}`, { qos: 1 });
    await writer.publishAsync("kept", "value", { qos: 1, retain: true });
  }
  await using edge = await startBus(dir.path);
  const fresh = await edge.connect();
  const retained = collect(fresh);
  await fresh.subscribeAsync("+", { qos: 0 });
  expect(await retained.count(1)).toEqual([{ topic: "kept", text: "value", qos: 0, retain: true }]);

  const { connect } = await import("mqtt");
  const reader = connect(`mqtt://127.0.0.1:${edge.bus.mqttPort}`, { clientId: "reader", clean: false });
  const seen = collect(reader);
  expect((await seen.count(5)).map(({ topic, text }) => `${topic}=${text}`)).toEqual([
    "q/0=m0",
    "q/1=m1",
    "q/2=m2",
    "q/3=m3",
    "q/4=m4",
  ]);
  await reader.endAsync(true);
});

test("broker keeps only the newest messages of an offline session", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { sessionQueueSize: 3 } });
  const reader = await edge.connect({ clientId: "reader", clean: false });
  await reader.subscribeAsync("q", { qos: 1 });
  await reader.endAsync();
  const writer = await edge.connect();
  for (let n = 0; n < 10; n += 1) await writer.publishAsync("q", `m${n}`, { qos: 1 });
  const { connect } = await import("mqtt");
  const again = connect(`mqtt://127.0.0.1:${edge.bus.mqttPort}`, { clientId: "reader", clean: false });
  const seen = collect(again);
  expect((await seen.count(3)).map(({ text }) => text)).toEqual(["m7", "m8", "m9"]);
  await again.endAsync(true);
});

test("broker delivers once to a client with overlapping filters and loses nothing of mixed QoS", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const [reader, writer] = [await edge.connect(), await edge.connect()];
  const seen = collect(reader);
  await reader.subscribeAsync(["m/#", "m/+"], { qos: 1 });
  for (let n = 0; n < 200; n += 1) writer.publish("m/x", String(n), { qos: n % 2 === 0 ? 1 : 0 });
  await writer.publishAsync("m/end", "end", { qos: 1 });
  while (!seen.all.some(({ text }) => text === "end")) await seen.count(seen.all.length + 1);
  expect(seen.all.length).toBe(201);
});

test("broker publishes the will of a client that vanishes", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync("wills", { qos: 0 });
  const victim = await edge.connect({
    will: { topic: "wills", payload: Buffer.from("gone"), qos: 0, retain: false },
  });
  victim.stream.destroy();
  expect((await seen.count(1))[0]?.text).toBe("gone");
});

test("broker refuses wrong passwords and topics of other devices when it has rules", async () => {
  using dir = tempDir();
  const passwordHash = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 });
  const users = ["d1", "d2"].map((name) => ({ name, passwordHash }));
  const acl = [{ user: undefined, topic: "public/#", access: "readwrite" as const }];
  await using edge = await startBus(dir.path, { broker: { users, acl, anonymous: false } });

  await expect(edge.connect({ username: "d1", password: "wrong" })).rejects.toThrow();
  await expect(edge.connect()).rejects.toThrow();

  const d1 = await edge.connect({ username: "d1", password: "secret" });
  await d1.publishAsync(update, "mine", { qos: 1 });
  const d2 = await edge.connect({ username: "d2", password: "secret" });
  const closed = new Promise<void>((resolve) => d2.once("close", () => resolve()));
  d2.publish(update, "forged", { qos: 1 });
  await closed;
  expect(edge.received.map(({ payload }) => Buffer.from(payload).toString())).toEqual(["mine"]);
});

test("broker disconnects a client whose packet exceeds the limit, and serves others", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { maxPacketBytes: 10_000 } });
  const [bad, good] = [await edge.connect(), await edge.connect()];
  const closed = new Promise<void>((resolve) => bad.once("close", () => resolve()));
  bad.on("error", () => undefined);
  bad.publish("x", "y".repeat(10_000_000), { qos: 1 });
  await closed;
  await good.publishAsync("x", "ok", { qos: 1 });
});

test("broker disconnects a subscriber that never reads messages of QoS 1, and serves others", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const socket = connectSocket(edge.bus.mqttPort ?? 0, "127.0.0.1");
  await once(socket, "connect");
  socket.write(Buffer.from("100f00044d5154540402000000036c617a", "hex"));
  await once(socket, "data");
  socket.write(Buffer.from("82080001000362696701", "hex"));
  await once(socket, "data");
  socket.pause();
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("error", () => undefined);
  const writer = await edge.connect();
  const payload = Buffer.alloc(500_000, 1);
  for (let n = 0; n < 60; n += 1) await writer.publishAsync("big", payload, { qos: 1 });
  socket.resume();
  await closed;
});

test("mosquitto's own tools work with the broker", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path);
  const at = ["-h", "127.0.0.1", "-p", String(edge.bus.mqttPort)];
  const reader = Bun.spawn(["mosquitto_sub", ...at, "-t", "t/#", "-C", "1", "-v", "-q", "1", "-W", "10"]);
  const writer = await edge.connect();
  const repeat = setInterval(() => writer.publish("t/ping", "ping", { qos: 0, retain: true }), 50);
  const text = await new Response(reader.stdout).text();
  clearInterval(repeat);
  expect(text.trim()).toBe("t/ping ping");
  expect(await Bun.spawn(["mosquitto_pub", ...at, "-t", update, "-m", "{}", "-q", "2"]).exited).toBe(0);
  expect(edge.received.map(({ topic }) => topic)).toEqual([update]);
});
