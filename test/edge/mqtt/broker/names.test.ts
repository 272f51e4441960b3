import { expect, test } from "bun:test";
import { join } from "node:path";
import type { IClientOptions } from "mqtt";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { collect, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { connectPacket, openRaw } from "./raw-client.ts";

const passwordHash = Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 });
const users = ["a", "b"].map((name) => ({ name, passwordHash }));
const as = (username: string): IClientOptions => ({ username, password: "secret" });
const persistent = { clean: false, clientId: "desk" } as const;

test("broker separates clients with the same id by user, each with its own session", async () => {
  using dir = tempDir();
  await using edge = await startBus(dir.path, { broker: { users } });
  const anonymous = await edge.connect(persistent);
  await anonymous.subscribeAsync("for/anonymous", { qos: 1 });
  for (const user of ["a", "b"]) {
    const client = await edge.connect({ ...as(user), ...persistent });
    await client.subscribeAsync(`for/${user}`, { qos: 1 });
    if (user === "a") await client.endAsync(true);
  }
  expect(anonymous.connected).toBe(true);
  const writer = await edge.connect();
  for (const name of ["a", "b", "anonymous"]) await writer.publishAsync(`for/${name}`, name, { qos: 1 });
  using a = await openRaw(edge.bus.mqttPort);
  a.send(connectPacket("desk", { clean: false, username: "a", password: Buffer.from("secret") }));
  expect(await a.next()).toMatchObject({ cmd: "connack", sessionPresent: true });
  expect(await a.next()).toMatchObject({ cmd: "publish", topic: "for/a" });
});

test("broker does not let a client end the session of another user by its id", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  {
    await using edge = await startBus(dir.path, { database, broker: { users } });
    const owner = await edge.connect({ ...as("a"), ...persistent });
    await owner.subscribeAsync("x", { qos: 1 });
    for (const who of [{}, as("b")])
      await (await edge.connect({ ...who, clean: true, clientId: "desk" })).endAsync(true);
    expect(owner.connected).toBe(true);
  }
  await using edge = await startBus(dir.path, { database, broker: { users } });
  const writer = await edge.connect();
  await writer.publishAsync("x", "still there", { qos: 1 });
  const owner = await edge.connect({ ...as("a"), ...persistent, manualConnect: false });
  const seen = collect(owner);
  await owner.subscribeAsync("end");
  await writer.publishAsync("end", "end");
  await seen.count(1);
  expect(edge.store.mqttSessions.subscriptions().map(({ client, topic }) => [client, topic])).toContainEqual([
    "a\0desk",
    "x",
  ]);
});

test("broker applies the rules of its user and client id to a will of the run before", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  const acl = [{ user: "a", topic: "wills/%c", access: "write" as const }];
  const lost = {
    clientId: "desk",
    will: { topic: "wills/desk", payload: Buffer.from("gone"), qos: 1, retain: true },
  };
  {
    const edge = await startBus(dir.path, { database, broker: { users, acl } });
    await edge.connect({ ...as("a"), ...lost } as IClientOptions);
    const kept = [...edge.store.mqttSessions.packets()].filter(({ kind }) => kind === "will");
    await edge[Symbol.asyncDispose]();
    using store = openStore(database);
    for (const will of kept) store.mqttSessions.putPacket(will);
    const forged = { client: "b\0desk", user: "b", payload: Buffer.from("forged") };
    for (const will of kept) store.mqttSessions.putPacket({ ...will, ...forged, id: will.id + 1000 });
    store.mqttSessions.removeRetained("wills/desk");
  }
  const more = [...acl, { user: undefined, topic: "#", access: "read" as const }];
  await using edge = await startBus(dir.path, { database, broker: { users, acl: more } });
  const reader = await edge.connect();
  const seen = collect(reader);
  await reader.subscribeAsync("wills/#", { qos: 0 });
  expect(await seen.count(1)).toMatchObject([{ topic: "wills/desk", text: "gone" }]);
});

test("broker ends only anonymous sessions when anonymous clients are no longer accepted", async () => {
  using dir = tempDir();
  const database = join(dir.path, "edge.db");
  {
    await using edge = await startBus(dir.path, { database, broker: { users } });
    for (const who of [{}, as("a")]) await edge.connect({ ...who, ...persistent });
  }
  await using edge = await startBus(dir.path, { database, broker: { users, anonymous: false } });
  await edge.connect(as("a"));
  const left = edge.store.mqttSessions.subscriptions().map(({ client }) => client);
  expect(left).toEqual(["a\0desk"]);
});
