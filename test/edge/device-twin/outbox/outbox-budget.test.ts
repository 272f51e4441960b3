import { expect, test } from "bun:test";
import { largestMessageBytes } from "#shared/wire";
import { encodeTwinReport } from "#edge/edge-hub/codec";
import { OutboxShares } from "#internal/edge/edge-hub/outbox/shares.ts";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const limit = 200_000;

/** Reports more than the limit holds, then waits until there is room. */
async function flood(node: Harness, devices: number): Promise<void> {
  const sends = Array.from({ length: 1000 }, (_, n) =>
    node.send(`$hw/events/device/d${n % devices}/twin/update`, {
      twin: { t: { actual: { value: `${n}` } } },
    }),
  );
  await Promise.all(sends);
  await node.twin.roomMade();
}

/** Rows as an edgecore before 0.3 left them, more than the limit holds; what comes then makes room among them. */
async function leaveReports(node: Harness, count = 1000): Promise<void> {
  const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };
  const { store } = node;
  store.transaction(() => {
    for (let n = 0; n < count; n += 1) {
      const twin = {
        [`p${n % 3}`]: { actual: { value: `${n}` }, optional: true, metadata: { type: "string" } },
      };
      store.outbox.put(
        "twin",
        undefined,
        encodeTwinReport(stamp, "d0", { event_id: "", timestamp: 1, twin }),
      );
    }
  });
  await node.send("SYS/dis/upload_records", "x".repeat(limit / 8));
  await node.twin.roomMade();
}

function members(devices: number): object {
  return { added_devices: Array.from({ length: devices }, (_, n) => ({ id: `d${n}`, name: `d${n}` })) };
}

test("losses of the outbox are served over HTTP, also after a restart", async () => {
  using dir = tempDir();
  const config = { outboxLimitBytes: limit, query: { address: "127.0.0.1", port: 0 } };
  let folded = 0;
  {
    await using node = await startHarness(dir.path, config);
    await leaveReports(node);
    folded = node.store.backlog.losses().folded;
  }
  await using node = await startHarness(dir.path, config);
  const answer: unknown = await (await fetch(`http://127.0.0.1:${node.twin.queryPort}/outbox`)).json();
  const { entries, bytes } = node.store.outbox.size();
  expect(folded).toBeGreaterThan(0);
  expect(answer).toEqual({
    entries,
    bytes,
    limitBytes: limit,
    folded,
    droppedReports: 0,
    droppedUploads: 0,
    since: expect.any(Number),
    last: expect.any(Number),
  });
});

test("reports folded just before a restart get an Event on the Node, and none gets two", async () => {
  using dir = tempDir();
  const counts: number[] = [];
  for (const reports of [true, false, false]) {
    const clock = new FakeClock();
    await using node = await startHarness(dir.path, { outboxLimitBytes: limit }, clock);
    if (reports) await leaveReports(node);
    else await clock.advance(5000);
    counts.push(node.events.length);
  }
  expect(counts).toEqual([0, 1, 0]);
});

test("folded reports get an Event on the Node once in five minutes, with all of them in the end", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { outboxLimitBytes: limit }, clock);
  await leaveReports(node);
  await clock.advance(5000);
  await leaveReports(node);
  expect(node.events).toMatchObject([
    {
      type: "Warning",
      reason: "ReportsFolded",
      involvedObject: { kind: "Node", name: "ke-edge", uid: "ke-edge" },
      metadata: { namespace: "default" },
      source: { component: "edgecore", host: "ke-edge" },
      count: 1,
    },
  ]);
  await clock.advance(300_000);
  const { folded } = node.store.backlog.losses();
  expect(node.events.length).toBe(2);
  expect(node.events[1]?.message).toContain(`${folded} reports folded`);
  expect(node.events[1]).toMatchObject({ metadata: node.events[0]?.metadata as object, count: 2 });
  await clock.advance(900_000);
  expect(node.events.length).toBe(2);
});

test("a backlog of uploads stays within the limit, and dropped ones get an Event on the Node", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { outboxLimitBytes: limit }, clock);
  for (let n = 0; n < 10; n += 1) {
    await node.send("SYS/dis/upload_records", `${n}${"x".repeat(60_000)}`);
    await node.twin.roomMade();
  }
  await clock.advance(5000);
  expect(node.store.outbox.size().bytes).toBeLessThanOrEqual(limit);
  expect(node.outbox().map(({ content }) => String(content)[0])).toEqual(["8", "9"]);
  expect(node.events).toMatchObject([{ reason: "MessagesDropped" }]);
});

test("a backlog of uploads stays within the limit while the cloud accepts them and answers none", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { outboxLimitBytes: 1_000_000 }, clock);
  using shares = new OutboxShares({
    outbox: node.store.outbox,
    clock,
    log: silentLog(),
    send: () => true,
    ping: () => undefined,
  });
  shares.linkUp(true);
  for (let n = 0; n < 200; n += 1) {
    await node.send("SYS/dis/upload_records", "x".repeat(50_000));
    shares.wake();
    await node.twin.roomMade();
  }
  expect(node.store.outbox.size().bytes).toBeLessThan(3_100_000);
});

test("a backlog of many devices with one report each stays within the limit", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { outboxLimitBytes: limit });
  await node.deliver("membership", members(1000));
  await flood(node, 1000);
  expect(node.store.outbox.size().bytes).toBeLessThanOrEqual(limit);
  const kept = node.outbox().map(({ resource }) => resource);
  expect(kept.at(-1)).toBe("device/d999/twin/edge_updated");
  expect(kept.length + node.store.backlog.losses().droppedReports).toBe(1000);
});

test("an upload larger than the cloud accepts is dropped with an Event, the largest that fits is kept", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  // Of these characters JSON makes six bytes each.
  const fits = Math.floor((largestMessageBytes - 512 * 1024 - 2) / 6);
  await node.send("SYS/dis/upload_records", "\u0001".repeat(fits));
  expect(node.store.outbox.size()).toMatchObject({ entries: 1 });
  expect(node.store.outbox.size().bytes).toBeLessThan(largestMessageBytes);
  await node.send("SYS/dis/upload_records", "\u0001".repeat(fits + 1));
  await node.send("SYS/dis/upload_records", "next");
  await clock.advance(5000);
  expect(node.store.outbox.size().entries).toBe(2);
  expect(node.store.backlog.losses()).toMatchObject({ droppedUploads: 1 });
  expect(node.events.map(({ reason, message }) => [reason, /1 uploads dropped/.test(message ?? "")])).toEqual(
    [["MessagesDropped", true]],
  );
});

test("reports an older edgecore left beyond the limit are folded to the latest of each property, and counted", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { outboxLimitBytes: limit });
  await leaveReports(node, 4000);
  expect(node.store.outbox.size().bytes).toBeLessThan(limit);
  expect(node.store.backlog.losses()).toMatchObject({ droppedReports: 0, droppedUploads: 0 });
  expect(node.store.backlog.losses().folded).toBeGreaterThan(0);
  const seen: Record<string, string> = {};
  for (const { content } of node.outbox())
    for (const [name, twin] of Object.entries(
      (content as { twin?: Record<string, { actual: { value: string } }> }).twin ?? {},
    ))
      seen[name] = twin.actual.value;
  expect(seen).toEqual({ p0: "3999", p1: "3997", p2: "3998" });
});

test("a device has one report in the outbox, with the newest value of each property", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path);
  await node.deliver("membership", members(1));
  const sends = Array.from({ length: 4000 }, (_, n) =>
    node.send("$hw/events/device/d0/twin/update", { twin: { [`p${n % 3}`]: { actual: { value: `${n}` } } } }),
  );
  await Promise.all(sends);
  const [only, ...others] = node.outbox();
  expect(others).toEqual([]);
  expect(only?.content).toMatchObject({
    twin: {
      p0: { actual: { value: "3999" } },
      p1: { actual: { value: "3997" } },
      p2: { actual: { value: "3998" } },
    },
  });
  expect(node.store.backlog.losses()).toMatchObject({ folded: 0 });
});
