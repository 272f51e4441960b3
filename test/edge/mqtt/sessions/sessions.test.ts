import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { BrokerPacket } from "#edge/mqtt/packet";
import { Sessions, type SessionLimits } from "#edge/mqtt/sessions";
import { openStore } from "#edge/store";
import { tempDir } from "#internal/test/support/temp-dir.ts";

// Each fills tens of megabytes on disk.
setDefaultTimeout(30_000);

const megabyte = Buffer.alloc(1024 * 1024, 65);

interface SessionEvents {
  readonly dropped: string[];
  readonly notRetained: string[];
  readonly evicted: string[];
}

function makeLimits(queueSize: number, events: SessionEvents): SessionLimits {
  return {
    queueSize,
    isOnline: (client) => client.startsWith("online"),
    onDropped: (client) => void events.dropped.push(client),
    onNotRetained: (topic) => void events.notRetained.push(topic),
    onEvicted: (client) => void events.evicted.push(client),
    clock: systemClock,
    onEnded: () => undefined,
    onWill: () => undefined,
  };
}

async function put(sessions: Sessions, packet: BrokerPacket): Promise<void> {
  const stored = sessions.store(packet);
  await stored?.committed;
  stored?.release();
}

const nothing = (): SessionEvents => ({ dropped: [], notRetained: [], evicted: [] });

test.each(["offline", "online"])("sessions keep the newest 8 MiB for a client that is %s", async (client) => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const events = nothing();
  const sessions = new Sessions(store, makeLimits(1000, events));
  await sessions.subscribe(client, [{ topic: "big/#", qos: 1 }]);
  for (let n = 0; n < 20; n += 1)
    await put(sessions, {
      cmd: "publish",
      topic: `big/${n}`,
      payload: megabyte,
      qos: 1,
      brokerId: "b",
      brokerCounter: n,
    });
  expect(sessions.unsent(client).map(({ topic }) => topic)).toEqual(
    Array.from({ length: 8 }, (_, n) => `big/${n + 12}`),
  );
  expect(events.dropped.length).toBe(12);
  const again = new Sessions(store, makeLimits(1000, events));
  expect(again.unsent(client).length).toBe(8);
});

test("sessions retain at most 64 MiB, report what they refuse, and reuse the room of removed messages", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const events = nothing();
  const sessions = new Sessions(store, makeLimits(1000, events));
  const retain = (n: number, payload: Buffer): Promise<void> =>
    put(sessions, { cmd: "publish", topic: `t/${n}`, payload, qos: 0, retain: true });
  for (let n = 0; n < 66; n += 1) await retain(n, megabyte);
  expect({ kept: sessions.counts().retained, notRetained: events.notRetained }).toEqual({
    kept: 63,
    notRetained: ["t/63", "t/64", "t/65"],
  });
  await retain(0, Buffer.alloc(0));
  await retain(64, megabyte);
  await retain(1, megabyte);
  expect({ kept: sessions.counts().retained, notRetained: events.notRetained.length }).toEqual({
    kept: 63,
    notRetained: 3,
  });
});

test("sessions count the levels of retained topics, and release those of removed messages", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const events = nothing();
  const sessions = new Sessions(store, makeLimits(1000, events));
  const retain = (n: number, text: string): Promise<void> => {
    const topic = `${n}${"/x".repeat(199)}`;
    return put(sessions, { cmd: "publish", topic, payload: Buffer.from(text), qos: 0, retain: true });
  };
  for (let round = 0; round < 2; round += 1) {
    for (let n = 0; n < 2000; n += 1) await retain(n, "on");
    expect(sessions.counts().retained).toBeWithin(1000, 1500);
    for (let n = 0; n < 2000; n += 1) await retain(n, "");
    expect(sessions.counts().retained).toBe(0);
  }
});

test("sessions retain nothing rather than an old message when there is no room for the new one", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const events = nothing();
  const sessions = new Sessions(store, makeLimits(1000, events));
  const retain = (n: number, payload: Buffer): Promise<void> =>
    put(sessions, { cmd: "publish", topic: `t/${n}`, payload, qos: 0, retain: true });
  for (let n = 0; n < 63; n += 1) await retain(n, megabyte);
  await retain(7, Buffer.alloc(3 * 1024 * 1024));
  expect({ found: [...sessions.retained("t/7")], notRetained: events.notRetained }).toEqual({
    found: [],
    notRetained: ["t/7"],
  });
  expect(store.mqttSessions.retained().some(({ topic }) => topic === "t/7")).toBe(false);
});

test("sessions that connected last are kept when there are too many", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const events = nothing();
  const sessions = new Sessions(store, makeLimits(10, events));
  const arrive = (id: string): Promise<unknown> =>
    sessions.begin(id, { clean: false, expiry: undefined, will: undefined }).committed;
  await Promise.all(Array.from({ length: 9999 }, (_, n) => arrive(`offline-${n}`)));
  await arrive("online-1");
  await arrive("offline-0");
  await arrive("new");
  expect({ evicted: events.evicted, kept: sessions.counts().sessions }).toEqual({
    evicted: ["offline-1"],
    kept: 10_000,
  });
});
