import { expect, test } from "bun:test";
import { join } from "node:path";
import type { MqttClient } from "mqtt";
import { openStore, type Store } from "#edge/store";
import { ExternalOutgoing } from "#internal/edge/mqtt/event-bus/outgoing.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startBus } from "./harness.ts";
import { externalAt, startScriptedBroker } from "./scripted-broker.ts";
import { until } from "#internal/test/edge/mqtt/until.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const topics = (count: number): string[] => Array.from({ length: count }, (_, n) => `t${n}`);
const message = (topic: string, bytes = 1): { topic: string; payload: Buffer } => ({
  topic,
  payload: Buffer.alloc(bytes, "x"),
});

interface Rig {
  readonly outgoing: ExternalOutgoing;
  readonly clock: FakeClock;
  readonly log: ReturnType<typeof silentLog>;
  /** Topics given to the client, with repetitions. */
  readonly sent: string[];
  /** Acknowledges what the client was given so far. */
  acknowledge(error?: Error): Promise<void>;
}

/** The real queue, with the test in the place of the MQTT client. */
function rig(store: Store): Rig {
  const [clock, log, sent, acks] = [
    new FakeClock(),
    silentLog(),
    [] as string[],
    [] as ((error?: Error) => void)[],
  ];
  const client = {
    publish: (topic: string, _payload: Buffer, _options: object, done: (error?: Error) => void) => {
      sent.push(topic);
      acks.push(done);
    },
    getLastMessageId: () => acks.length,
    removeOutgoingMessage: () => client,
  };
  const outgoing = new ExternalOutgoing({
    store,
    client: client as unknown as MqttClient,
    clock,
    log,
    seldom: log,
  });
  const acknowledge = async (error?: Error): Promise<void> => {
    for (const ack of acks.splice(0)) ack(error);
    await turn();
  };
  return { outgoing, clock, log, sent, acknowledge };
}

function fillDisk(store: Store): () => void {
  const { transaction } = store;
  const full = (): never => {
    throw new Error("database or disk is full");
  };
  Object.assign(store, { transaction: full });
  return () => void Object.assign(store, { transaction });
}

test.each([
  ["a few messages", 3],
  ["as many messages as may be under way, and more", 300],
])("outgoing sends %s again when the external broker closed the connection", async (_name, count) => {
  using dir = tempDir();
  using broker = await startScriptedBroker((_packet, _socket, connection) =>
    connection === 1 ? "ignore" : "acknowledge",
  );
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(broker.port) });
  for (const topic of topics(count)) await edge.publish(message(topic));
  await until(() => broker.topics().length === Math.min(count, 256));
  broker.connections[0]?.socket.destroy();
  await until(() => edge.store.mqttOutgoing.size().entries === 0);
  expect(broker.topics().slice(-count)).toEqual(topics(count));
});

test("outgoing drops only the message over which the external broker closes the connection", async () => {
  using dir = tempDir();
  using broker = await startScriptedBroker(({ topic }) => (topic === "t20" ? "cut" : "acknowledge"));
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(broker.port) });
  await until(() => edge.bus.externalConnected());
  for (const topic of topics(40)) await edge.publish(message(topic));
  await until(() => broker.topics().includes("t39"));
  await until(() => edge.store.mqttOutgoing.size().entries === 0);
  expect([...new Set(broker.topics())]).toEqual(topics(40));
  const errors = edge.log.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(errors.filter(({ level }) => level === "error")).toMatchObject([{ topic: "t20", tries: 5 }]);
});

test("outgoing sends what is on disk in order while the disk is full", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing, clock, sent, acknowledge } = rig(store);
  outgoing.connected();
  for (const topic of topics(300)) outgoing.push(message(topic), false);
  await turn();
  const empty = fillDisk(store);
  outgoing.push(message("t300"), false);
  await turn();
  await acknowledge();
  const whileFull = [...sent];
  empty();
  await clock.advance(1000);
  await turn();
  await acknowledge();
  await acknowledge();
  expect(whileFull).toEqual(topics(300));
  expect(sent).toEqual(topics(301));
  expect(store.mqttOutgoing.size()).toEqual({ entries: 0, last: 0, bytes: 0 });
});

test("outgoing does not repeat what was acknowledged while the disk was full", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing, sent, acknowledge } = rig(store);
  outgoing.connected();
  for (const topic of ["t0", "t1"]) outgoing.push(message(topic), false);
  await turn();
  const empty = fillDisk(store);
  await acknowledge();
  outgoing.closed({ byBroker: true });
  outgoing.connected();
  expect(sent).toEqual(["t0", "t1"]);
  empty();
  outgoing.end();
  expect(store.mqttOutgoing.size().entries).toBe(0);
});

test("outgoing accepts an acknowledgement that arrives after its connection is closed", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing, sent, acknowledge } = rig(store);
  outgoing.connected();
  outgoing.push(message("t0"), false);
  await turn();
  outgoing.closed({ byBroker: true });
  await acknowledge();
  outgoing.connected();
  expect({ sent, left: store.mqttOutgoing.size().entries }).toEqual({ sent: ["t0"], left: 0 });
});

test("outgoing retries after a while when the client fails to send", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing, clock, sent, acknowledge } = rig(store);
  outgoing.connected();
  for (const topic of ["t0", "t1"]) outgoing.push(message(topic), false);
  await turn();
  await acknowledge(new Error("no"));
  expect(sent).toEqual(["t0", "t1"]);
  await clock.advance(1000);
  await turn();
  await acknowledge();
  expect({ sent, left: store.mqttOutgoing.size().entries }).toEqual({
    sent: ["t0", "t1", "t0", "t1"],
    left: 0,
  });
});

test("outgoing drops no message over connections that were closed at this side", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing } = rig(store);
  outgoing.push(message("t0"), false);
  await turn();
  for (let n = 0; n < 10; n += 1) {
    outgoing.connected();
    outgoing.closed({ byBroker: false });
    await turn();
  }
  expect(store.mqttOutgoing.size().entries).toBe(1);
});

test("outgoing drops the oldest messages when the kept ones take too much disk", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const { outgoing, log } = rig(store);
  for (const topic of topics(70)) outgoing.push(message(topic, 1_000_000), false);
  await turn();
  const { entries, bytes } = store.mqttOutgoing.size();
  expect({ entries, within: bytes <= 64_000_000 }).toEqual({ entries: 63, within: true });
  expect(store.mqttOutgoing.listAfter(0, 1)[0]?.topic).toBe("t7");
  expect(log.lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ level: "warn", dropped: 7 }]);
});

test("event bus ends within seconds when the external broker acknowledges nothing", async () => {
  using dir = tempDir();
  using broker = await startScriptedBroker(() => "ignore");
  const started = performance.now();
  {
    await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(broker.port) });
    await edge.publish(message("t0"));
    await until(() => broker.topics().length === 1);
  }
  expect(performance.now() - started).toBeLessThan(5000);
  using store = openStore(join(dir.path, "edge.db"));
  expect(store.mqttOutgoing.size().entries).toBe(1);
});

test("event bus unsubscribes filters at the external broker that were removed while it was offline", async () => {
  using dir = tempDir();
  using broker = await startScriptedBroker(() => "acknowledge");
  await using edge = await startBus(dir.path, { broker: undefined, external: externalAt(broker.port) });
  await edge.watch(["thermo", "lamp"]);
  await until(() => edge.store.metas.find("mqttsubscriptions/external")?.value.endsWith('"lamp"]}') ?? false);
  broker.connections[0]?.socket.destroy();
  await until(() => !edge.bus.externalConnected());
  await edge.watch(["lamp"]);
  await until(() => broker.connections[1]?.packets.some(({ cmd }) => cmd === "unsubscribe") ?? false);
  const packets = broker.connections[1]?.packets ?? [];
  expect(packets.flatMap((packet) => (packet.cmd === "unsubscribe" ? packet.unsubscriptions : []))).toEqual([
    "thermo",
  ]);
  // The session has the rest: asking again would bring everything retained as news.
  expect(packets.filter(({ cmd }) => cmd === "subscribe")).toEqual([]);
});
