import { expect, test } from "bun:test";
import { join } from "node:path";
import { openStore } from "#edge/store";
import { OutboxSender } from "#internal/edge/edgehub/outbox-sender.ts";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { newMessage } from "#shared/message";

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

test("outbox sender gives up a state that a cloud leaves unanswered while it answers others", async () => {
  expect(await sentWithoutAnswer(state, 2, true)).toEqual([1, 0]);
});

test("outbox sender is more patient with a report of a device", async () => {
  expect(await sentWithoutAnswer(report, 2, true)).toEqual([1, 1]);
});

test("outbox sender waits without end for a cloud that promises to answer everything", async () => {
  expect(await sentWithoutAnswer(state, 120, true, true)).toEqual([1, 1]);
});

test("outbox sender takes answered messages off the disk once there is room again", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const log = silentLog();
  const { outbox } = store;
  using sender = new OutboxSender({ outbox, clock, log, send: () => true, ping: () => undefined });
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
  sender.settle(newMessage({ ...stamp, id: () => "m2" }, { ...parts, content: "OK", parentId: "m1" }));
  await clock.advance(1000);
  const full = outbox.size().entries;
  outbox.remove = remove;
  await clock.advance(5000);

  expect([full, outbox.size().entries]).toEqual([1, 0]);
  expect(log.lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(["error"]);
});

test.each([
  ["waits for the answer to an upload of a cloud that promises one", true, [], 1],
  ["takes an upload for done once a KubeEdge cloud has read it", false, ["outbox-1"], 0],
])("outbox sender %s", async (_name, promises, marks, left) => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edge.db"));
  const clock = new FakeClock();
  const pings: string[] = [];
  using sender = new OutboxSender({
    outbox: store.outbox,
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
