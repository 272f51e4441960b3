import { expect, test } from "bun:test";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { openStore } from "#edge/store";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import {
  connectPacket,
  openRaw,
  publishPacket,
  type RawClient,
} from "#internal/test/edge/mqtt/broker/raw-client.ts";
import { rule, users } from "#internal/test/edge/mqtt/access/rules.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const own = "$hw/events/device/d1/twin/update";

test("broker does not deliver what a deny rule covers, although a wider filter was allowed", async () => {
  using dir = tempDir();
  const acl = [rule("house/secret", "deny", "d1"), rule("house/#", "readwrite")];
  await using edge = await startBus(dir.path, { broker: { users, acl, anonymous: false } });
  const login = { username: "d1", password: "secret" };
  const reader = await edge.connect({ ...login, clean: false, clientId: "reader" });
  const seen = collect(reader);
  await reader.subscribeAsync("house/#", { qos: 1 });
  const writer = await edge.connect({ username: "d2", password: "secret" });
  for (const qos of [0, 1] as const)
    for (const topic of ["house/secret", "house/open"]) await writer.publishAsync(topic, topic, { qos });
  await writer.publishAsync("house/end", "end", { qos: 1 });
  while (!seen.all.some(({ text }) => text === "end")) await seen.count(seen.all.length + 1);
  expect(new Set(seen.all.map(({ topic }) => topic))).toEqual(new Set(["house/open", "house/end"]));
});

test("broker refuses a client whose will is for another device", async () => {
  using dir = tempDir();
  const acl = [rule("public/#", "readwrite")];
  await using edge = await startBus(dir.path, { broker: { users, acl, anonymous: false } });
  const will = { topic: own, payload: Buffer.from("{}"), qos: 1 as const, retain: false };
  await expect(edge.connect({ username: "d2", password: "secret", will })).rejects.toThrow(
    /[Nn]ot authorized/,
  );
  const d1Client = await edge.connect({ username: "d1", password: "secret", will });
  d1Client.stream.destroy();
  await until(() => edge.received.length > 0);
  expect(edge.received.map(({ topic }) => topic)).toEqual([own]);
});

test("broker does not confuse cached decisions of similar topics and clients", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { acl: [rule("public/#", "readwrite")] } });
  using one = await openRaw(edge.bus.mqttPort);
  one.send(connectPacket("a"), publishPacket(`public/x\n${own}`, 1, 1));
  expect([(await one.next()).cmd, (await one.next()).cmd]).toEqual(["connack", "puback"]);
  using two = await openRaw(edge.bus.mqttPort);
  two.send(connectPacket("a\npublic/x"), publishPacket(own, 1, 1));
  await two.closed;
  expect(edge.received).toEqual([]);
});

const secretive = [rule("public/#", "readwrite"), rule("private/#", "readwrite", "admin")];

/** What a client that may have only public topics gets when something private is said and it subscribes again. */
async function overhear(edge: Awaited<ReturnType<typeof startBus>>, spy: RawClient): Promise<string[]> {
  const admin = await edge.connect({ username: "admin", password: "secret" });
  await admin.publishAsync("private/door", "code 1234", { qos: 1 });
  spy.send({ cmd: "subscribe", messageId: 2, subscriptions: [{ topic: "public/x", qos: 1 }] });
  await admin.publishAsync("public/x", "end", { qos: 1 });
  const topics: string[] = [];
  for (let packet = await spy.next(); topics.at(-1) !== "public/x"; packet = await spy.next())
    if (packet.cmd === "publish") {
      topics.push(packet.topic);
      if (packet.topic === "public/x") break;
    }
  return topics;
}

test("broker does not store a refused subscription", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { users, acl: secretive } });
  using spy = await openRaw(edge.bus.mqttPort);
  const subscriptions = [
    { topic: "public/x", qos: 1 as const },
    { topic: "private/#", qos: 1 as const },
  ];
  spy.send(connectPacket("spy", { clean: false }), { cmd: "subscribe", messageId: 1, subscriptions });
  await spy.next();
  expect(await spy.next()).toMatchObject({ cmd: "suback", granted: [1, 128] });
  expect(await overhear(edge, spy)).toEqual(["public/x"]);
  const stored = edge.store.mqttSessions.subscriptions().map(({ topic }) => topic);
  expect(stored.toSorted()).toEqual(["$SYS/session", "public/x"]);
});

test("broker does not give queued messages to another user with the same client id", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { users, acl: secretive } });
  const login = { username: "admin", password: "secret" };
  const reader = await edge.connect({ ...login, clean: false, clientId: "desk" });
  await reader.subscribeAsync("private/#", { qos: 1 });
  using spy = await openRaw(edge.bus.mqttPort);
  spy.send(connectPacket("desk", { clean: false }));
  await spy.next();
  expect(await overhear(edge, spy)).toEqual(["public/x"]);
});

test("broker applies the current rules to subscriptions and wills of the run before", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  {
    const edge = await startBus(dir.path, { database });
    const spy = await edge.connect({ clean: false, clientId: "spy" });
    await spy.subscribeAsync("private/#", { qos: 1 });
    using store = openStore(database);
    const left = { id: 7777, client: "x", kind: "will", messageId: null, cmd: "publish", qos: 1 } as const;
    await edge[Symbol.asyncDispose]();
    const message = { topic: own, retain: 0, payload: Buffer.from("{}"), user: null, properties: null };
    store.mqttSessions.putPacket({ ...left, ...message, expires: null, delay: null, due: null });
  }
  await using edge = await startBus(dir.path, { database, broker: { users, acl: secretive } });
  using spy = await openRaw(edge.bus.mqttPort);
  spy.send(connectPacket("spy", { clean: false }));
  await spy.next();
  expect(await overhear(edge, spy)).toEqual(["public/x"]);
  expect(edge.received).toEqual([]);
});

test("broker does not queue refused messages for a connected session", async () => {
  using dir = tempDir();
  const acl = [rule("house/secret", "deny", "d1"), rule("house/#", "readwrite")];
  await using edge = await startBus(dir.path, { broker: { users, acl } });
  const reader = await edge.connect({ username: "d1", password: "secret", clean: false, clientId: "reader" });
  await reader.subscribeAsync("house/#", { qos: 1 });
  const writer = await edge.connect({ username: "d2", password: "secret" });
  for (let n = 0; n < 50; n += 1) await writer.publishAsync("house/secret", "x", { qos: 1 });
  expect([...edge.store.mqttSessions.packets()].filter(({ kind }) => kind === "out")).toEqual([]);
});

test("broker answers 'server unavailable' to password guessing, and accepts others meanwhile", async () => {
  using dir = tempDir();
  const slow = Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 9 });
  await using edge = await startBus(dir.path, { broker: { users: [{ name: "d1", passwordHash: slow }] } });
  const guess = async (n: number): Promise<unknown> => {
    using raw = await openRaw(edge.bus.mqttPort);
    raw.send(connectPacket(`guess-${n}`, { username: "d1", password: Buffer.from(`wrong ${n}`) }));
    const answer = await raw.next();
    return "returnCode" in answer ? answer.returnCode : undefined;
  };
  const codes = Promise.all(Array.from({ length: 250 }, (_, n) => guess(n)));
  await edge.connect();
  expect(new Set(await codes)).toEqual(new Set([5, 3]));
  const owner = await edge.connect({ username: "d1", password: "secret" });
  expect(owner.connected).toBe(true);
}, 20_000);
