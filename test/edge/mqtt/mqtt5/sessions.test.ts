import { expect, test } from "bun:test";
import { join } from "node:path";
import type { BrokerPacket, Will } from "#edge/mqtt/packet";
import { Sessions } from "#edge/mqtt/sessions";
import { openStore, type Store } from "#edge/store";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface Run extends Disposable {
  readonly sessions: Sessions;
  readonly store: Store;
  readonly wills: string[];
}

/** One run of edgecore on a database; its end is that of a process that is killed. */
function start(directory: string, clock: FakeClock): Run {
  const store = openStore(join(directory, "edge.db"));
  const wills: string[] = [];
  const sessions = new Sessions(store, {
    clock,
    queueSize: 100,
    isOnline: () => false,
    onDropped: () => undefined,
    onNotRetained: () => undefined,
    onEvicted: () => undefined,
    onEnded: () => undefined,
    onWill: ({ payload }) => void wills.push(String(payload)),
  });
  sessions.releaseOrphanedWills();
  return { sessions, store, wills, [Symbol.dispose]: () => store[Symbol.dispose]() };
}

const second = 1000;
const hour = 3600 * second;
const will: Will = { cmd: "publish", topic: "w", payload: Buffer.from("gone"), qos: 1, delaySeconds: 100 };

async function begin(
  { sessions }: Run,
  client: string,
  expiry: number | undefined,
  more: Partial<Will> = {},
): Promise<boolean> {
  const own = Object.keys(more).length > 0 ? { ...will, ...more } : undefined;
  const begun = sessions.begin(client, { clean: false, expiry, will: own });
  await begun.committed;
  return begun.present;
}

async function written(run: Run): Promise<void> {
  await run.sessions.subscribe("writer", []);
}

async function leave(run: Run, client: string, expiry: number | undefined, hasWill = false): Promise<void> {
  run.sessions.leave(client, { kept: true, expiry, will: hasWill });
  await written(run);
}

test("a session ends when its client was away for as long as it asked for, whether edgecore ran or not", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  {
    using run = start(dir.path, clock);
    for (const [client, expiry] of [
      ["short", 50],
      ["long", 500],
      ["connected", 100],
      ["forever", undefined],
    ] as const)
      await begin(run, client, expiry);
    await leave(run, "short", 50);
    await leave(run, "long", 500);
    await leave(run, "forever", undefined);
  }
  await clock.advance(60 * second);
  using run = start(dir.path, clock);
  expect(["short", "long", "connected", "forever"].map((client) => run.sessions.has(client))).toEqual([
    false,
    true,
    true,
    true,
  ]);
  // The client that was connected is away from the start on.
  await clock.advance(90 * second);
  expect(run.sessions.has("connected")).toBe(true);
  await clock.advance(11 * second);
  expect(run.sessions.counts().sessions).toBe(3);
  expect(run.sessions.has("connected")).toBe(false);
  await clock.advance(400 * second);
  expect(["long", "forever"].map((client) => run.sessions.has(client))).toEqual([false, true]);
  await written(run);
  expect(run.store.mqttSessions.sessions()).toEqual([]);
});

/** What happens to the clocks while edgecore is down for a minute, and whether a session of 100 s is still there. */
const clocks: Readonly<Record<string, readonly [(clock: FakeClock) => void, boolean]>> = {
  nothing: [() => undefined, true],
  "the wall clock is set ahead by a year in the same boot": [(clock) => clock.jump(8760 * hour), true],
  "the wall clock is set back by a year in the same boot": [(clock) => clock.jump(-8760 * hour), true],
  "the machine starts without a battery for its clock": [
    (clock) => {
      clock.boot = "boot-2";
      clock.jump(-clock.nowMs());
    },
    true,
  ],
  "the machine was off for an hour": [
    (clock) => {
      clock.boot = "boot-2";
      clock.jump(hour);
    },
    false,
  ],
};

test.each(Object.entries(clocks))("a session is kept or not when %s", async (_, [change, isKept]) => {
  using dir = tempDir();
  const clock = new FakeClock();
  {
    using run = start(dir.path, clock);
    await begin(run, "c", 100);
    await leave(run, "c", 100);
  }
  await clock.advance(60 * second);
  change(clock);
  using run = start(dir.path, clock);
  expect(run.sessions.has("c")).toBe(isKept);
  await clock.advance(200 * second);
  expect(run.sessions.has("c")).toBe(false);
});

test("a clock that is set after the start of a machine without a battery ends no session", async () => {
  using dir = tempDir();
  const clock = new FakeClock(0);
  {
    using run = start(dir.path, clock);
    await begin(run, "c", 1000);
    await leave(run, "c", 1000);
    await clock.advance(61 * second);
    // NTP.
    clock.jump(Date.UTC(2026, 0, 1));
    await clock.advance(10 * second);
    expect(run.sessions.has("c")).toBe(true);
  }
  clock.boot = "boot-2";
  using run = start(dir.path, clock);
  expect(run.sessions.has("c")).toBe(true);
});

/** Starts the machine again without a battery for its clock: the wall clock begins at 1970. */
function startWithoutClock(clock: FakeClock): void {
  clock.boot = "boot-2";
  clock.jump(-clock.nowMs());
}

test("minutes in which nothing was written are not counted twice after a loss of power", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  {
    using run = start(dir.path, clock);
    await begin(run, "c", 6000);
    await leave(run, "c", 6000);
    await clock.advance(50 * 60 * second + 59 * second);
  }
  startWithoutClock(clock);
  using run = start(dir.path, clock);
  await clock.advance(49 * 60 * second);
  expect(run.sessions.has("c")).toBe(true);
  await clock.advance(62 * second);
  expect(run.sessions.has("c")).toBe(false);
});

test("a queued message of a session without end expires in time after a loss of power", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  let expiresAtMs = 0;
  {
    using run = start(dir.path, clock);
    await begin(run, "c", undefined);
    await run.sessions.subscribe("c", [{ topic: "a", qos: 1 }]);
    expiresAtMs = run.sessions.expiryAfter(6000);
    const packet: BrokerPacket = { cmd: "publish", topic: "a", payload: "x", qos: 1, retain: false };
    await run.sessions.store({ ...packet, expiresAtMs })?.committed;
    await clock.advance(50 * 60 * second);
  }
  startWithoutClock(clock);
  using run = start(dir.path, clock);
  expect(run.sessions.secondsUntil(expiresAtMs)).toBe(3000);
  await clock.advance(10 * 60 * second);
  // What was loaded goes on to be counted.
  clock.boot = "boot-3";
  using again = start(dir.path, clock);
  expect(again.sessions.secondsUntil(expiresAtMs)).toBe(2400);
});

test("no minute is counted twice when edgecore was ended before the machine", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  let expiresAtMs = 0;
  {
    using run = start(dir.path, clock);
    await begin(run, "c", 100);
    await leave(run, "c", 100);
    expiresAtMs = run.sessions.expiryAfter(100);
    await clock.advance(59 * second);
    await run.sessions.close();
    await clock.advance(hour);
  }
  startWithoutClock(clock);
  using run = start(dir.path, clock);
  expect(run.sessions.secondsUntil(expiresAtMs)).toBe(41);
});

test("the time is not written while nothing expires", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  using run = start(dir.path, clock);
  await begin(run, "c", 100);
  await leave(run, "c", 100);
  await clock.advance(200 * second);
  expect(run.sessions.has("c")).toBe(false);
  const at = run.store.mqttSessions.clock()?.at;
  expect(at).toBeNumber();
  await clock.advance(hour);
  expect(run.store.mqttSessions.clock()?.at).toBe(at);
});

test("a will is published after its delay, or when its session ends, and not if its client is back before", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  using run = start(dir.path, clock);
  const add = async (client: string, expiry: number, delaySeconds: number): Promise<void> => {
    await begin(run, client, expiry, { delaySeconds, payload: Buffer.from(client) });
    await leave(run, client, expiry, true);
  };
  await add("delayed", 1000, 100);
  await add("ends first", 50, 100);
  await add("at once", 0, 100);
  await add("back", 1000, 100);
  await add("clean", 1000, 100);
  expect(run.wills).toEqual(["at once"]);
  await begin(run, "back", 1000);
  run.sessions.begin("clean", { clean: true, expiry: 0, will: undefined });
  expect(run.wills).toEqual(["at once", "clean"]);
  await clock.advance(51 * second);
  expect(run.wills).toEqual(["at once", "clean", "ends first"]);
  await clock.advance(100 * second);
  expect(run.wills).toEqual(["at once", "clean", "ends first", "delayed"]);
});

test("a will that waits for its delay survives a restart, and one of a connected client begins to wait then", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  {
    using run = start(dir.path, clock);
    await begin(run, "waiting", 1000, { payload: Buffer.from("waiting") });
    await leave(run, "waiting", 1000, true);
    await begin(run, "connected", 1000, { payload: Buffer.from("connected") });
    await begin(run, "urgent", 1000, { payload: Buffer.from("urgent"), delaySeconds: 0 });
  }
  await clock.advance(60 * second);
  using run = start(dir.path, clock);
  expect(run.wills).toEqual(["urgent"]);
  await clock.advance(41 * second);
  expect(run.wills).toEqual(["urgent", "waiting"]);
  await clock.advance(60 * second);
  expect(run.wills).toEqual(["urgent", "waiting", "connected"]);
});

test("options of subscriptions, and properties and expiry of messages, survive a restart", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  const properties = Buffer.from([1, 1]);
  const message: BrokerPacket = {
    cmd: "publish",
    topic: "a",
    payload: Buffer.from("x"),
    qos: 1,
    retain: true,
    properties,
  };
  {
    using run = start(dir.path, clock);
    await begin(run, "c", undefined);
    const subscription = {
      topic: "a",
      qos: 1,
      noLocal: true,
      retainAsPublished: true,
      identifier: 300,
    } as const;
    await run.sessions.subscribe("c", [subscription]);
    const named = { ...message, brokerId: "b", brokerCounter: 1, expiresAtMs: run.sessions.expiryAfter(100) };
    const stored = run.sessions.store(named);
    await stored?.committed;
    const own = run.sessions.store({ ...named, brokerCounter: 2, origin: "c", retain: false });
    await own?.committed;
  }
  await clock.advance(60 * second);
  using run = start(dir.path, clock);
  expect(run.sessions.subscriptions("c")).toEqual([
    { topic: "a", qos: 1, noLocal: true, retainAsPublished: true, identifier: 300 },
  ]);
  const [kept, ...more] = run.sessions.unsent("c");
  expect(more).toEqual([]);
  expect(kept).toMatchObject({ retain: true, properties: Buffer.from([1, 1, 0x0b, 0xac, 0x02]) });
  expect(run.sessions.secondsUntil(kept?.expiresAtMs ?? 0)).toBe(40);
  expect([...run.sessions.retained("a")]).toMatchObject([{ topic: "a", properties }]);
  await clock.advance(41 * second);
  expect([...run.sessions.retained("a")]).toEqual([]);
  expect(run.sessions.counts().retained).toBe(0);
});
