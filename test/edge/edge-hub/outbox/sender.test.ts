import { expect, test } from "bun:test";
import { join } from "node:path";
import { cloudMessage } from "#edge/edge-hub/codec";
import { openStore, type Store } from "#edge/store";
import { OutboxSender } from "#internal/edge/edge-hub/outbox/sender.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { largestMessageBytes, newMessage } from "#shared/wire";

const state = "device/d/state/update";
const report = "device/d/twin/edge_updated";

async function sentWithoutAnswer(
  resource: string,
  minutes: number,
  others: boolean,
  promises = false,
): Promise<[number, number]> {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const frames: string[] = [];
  using sender = new OutboxSender({
    outbox: store.outbox,
    share: "others",
    clock,
    log: silentLog(),
    send: (frame) => frames.push(frame) > 0,
    ping: () => undefined,
  });
  const stamp = { id: () => "m1", nowMs: () => 1 };
  const parts = { source: "twin", group: "resource", operation: "update", resource, content: {} };
  store.outbox.put("twin", undefined, JSON.stringify(newMessage(stamp, parts)));
  sender.linkUp(promises);
  for (let spent = 0; spent < minutes * 60; spent += 5) {
    await clock.advance(5000);
    if (others) sender.answered();
  }
  return [new Set(frames).size, store.outbox.size().entries];
}

test("outbox sender keeps repeating to a cloud that answers nothing", async () => {
  expect(await sentWithoutAnswer(state, 30, false)).toEqual([1, 1]);
});

test("outbox sender drops a state that a cloud leaves unanswered while it answers others", async () => {
  expect(await sentWithoutAnswer(state, 2, true)).toEqual([1, 0]);
});

test("outbox sender is more patient with a report of a device", async () => {
  expect(await sentWithoutAnswer(report, 2, true)).toEqual([1, 1]);
});

test("outbox sender waits without a limit for a cloud that promises all answers", async () => {
  expect(await sentWithoutAnswer(state, 120, true, true)).toEqual([1, 1]);
});

test("outbox sender removes answered messages from the disk once there is room again", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const log = silentLog();
  const { outbox } = store;
  using sender = new OutboxSender({
    outbox,
    share: "others",
    clock,
    log,
    send: () => true,
    ping: () => undefined,
  });
  const stamp = { id: () => "m1", nowMs: () => 1 };
  const parts = { source: "twin", group: "resource", operation: "update", resource: report, content: {} };
  const message = newMessage(stamp, parts);
  outbox.put("twin", undefined, JSON.stringify(message));
  const remove = outbox.remove.bind(outbox);
  outbox.remove = () => {
    throw new Error("database or disk is full");
  };
  sender.linkUp(true);
  await clock.advance(100);
  const answer = newMessage({ ...stamp, id: () => "m2" }, { ...parts, content: "OK", parentId: "m1" });
  sender.settle(cloudMessage(answer));
  await clock.advance(1000);
  const full = outbox.size().entries;
  outbox.remove = remove;
  await clock.advance(5000);

  expect([full, outbox.size().entries]).toEqual([1, 0]);
  expect(log.lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(["error"]);
});

/** Uploads of 500 KB, and a sender of them. */
async function manyLarge(
  store: Store,
  clock: FakeClock,
  verdict: "none" | "later" | "ok",
): Promise<string[]> {
  const { outbox } = store;
  const sent: string[] = [];
  const parts = { source: "bus", group: "user", operation: "upload", resource: "t" };
  for (let n = 0; n < 20; n += 1) {
    const stamp = { id: () => `m${n}`, nowMs: () => 1 };
    const message = newMessage(stamp, { ...parts, content: "x".repeat(500_000) });
    outbox.put("upload", undefined, JSON.stringify(message));
  }
  const answer = (parentId: string): void => {
    const Err = verdict === "later" ? { ErrStatus: { code: 503, message: "no" } } : null;
    const content = verdict === "later" ? { Object: null, Err } : "OK";
    const stamp = { id: () => "a", nowMs: () => 1 };
    const message = newMessage(stamp, { ...parts, operation: "response", content, parentId });
    sender.settle(cloudMessage(message));
  };
  const send = (frame: string): boolean => {
    const { header } = JSON.parse(frame) as { header: { msg_id: string } };
    sent.push(header.msg_id);
    if (verdict !== "none") setImmediate(() => answer(header.msg_id));
    return true;
  };
  const log = silentLog();
  using sender = new OutboxSender({ outbox, share: "uploads", clock, log, send, ping: () => undefined });
  sender.linkUp(true);
  await clock.advance(600_000);
  const { uploads } = outbox.sentUpTo;
  const upTo = outbox.listAfter(0, 100).filter(({ id }) => id <= uploads);
  expect(upTo.reduce((sum, { message }) => sum + message.length, 0)).toBeLessThan(4_000_000);
  return [...new Set(sent)];
}

test.each([
  ["no more than 4 MB while the cloud does not answer", "none", 7],
  ["no more than 4 MB while the cloud cannot take them", "later", 7],
  ["all when each is answered", "ok", 20],
] as const)("outbox sender sends of large messages %s", async (_name, verdict, count) => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  expect((await manyLarge(store, new FakeClock(), verdict)).length).toBe(count);
});

test.each([
  ["waits for the answer to an upload of a cloud that promises one", true, [], 1],
  ["removes an upload once a KubeEdge cloud has read it", false, ["uploads-1"], 0],
])("outbox sender %s", async (_name, promises, marks, left) => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const pings: string[] = [];
  using sender = new OutboxSender({
    outbox: store.outbox,
    share: "uploads",
    clock,
    log: silentLog(),
    send: () => true,
    ping: (mark) => {
      pings.push(mark);
      queueMicrotask(() => sender.ponged(mark));
    },
  });
  const stamp = { id: () => "m1", nowMs: () => 1 };
  const parts = { source: "bus", group: "user", operation: "upload", resource: "t", content: "x" };
  store.outbox.put("upload", undefined, JSON.stringify(newMessage(stamp, parts)));
  sender.linkUp(promises);
  await clock.advance(60_000);
  expect({ pings, left: store.outbox.size().entries }).toEqual({ pings: marks, left });
});

test("outbox sender drops what the cloud would end the connection over, and sends what follows", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const log = silentLog();
  const sent: number[] = [];
  const send = (frame: string): boolean => sent.push(frame.length) > 0;
  using sender = new OutboxSender({
    outbox: store.outbox,
    share: "uploads",
    clock,
    log,
    send,
    ping: () => {},
  });
  const parts = { source: "bus", group: "user", operation: "upload", resource: "t" };
  for (const [id, length] of [largestMessageBytes, 5].entries()) {
    const stamp = { id: () => `m${id}`, nowMs: () => 1 };
    const message = newMessage(stamp, { ...parts, content: "x".repeat(length) });
    store.outbox.put("upload", undefined, JSON.stringify(message));
  }
  sender.linkUp(true);
  await clock.advance(100);
  expect(sent).toHaveLength(1);
  expect(store.outbox.size().entries).toBe(1);
  expect(log.lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(["error"]);
});
