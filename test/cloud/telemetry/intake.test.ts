import { expect, test } from "bun:test";
import { Intake } from "#internal/cloud/telemetry/intake.ts";
import type { NewUpload } from "#internal/cloud/telemetry/upload-store.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import type { DeviceUpload } from "#shared/topics";

/** A store with a disk that is full until a test says otherwise. */
class SmallStore {
  readonly stored: string[] = [];
  room = true;

  async add({ node, content }: NewUpload): Promise<void> {
    if (!this.room) throw new Error("database or disk is full");
    this.stored.push(`${node} ${content}`);
  }

  hasRoom(): boolean {
    return this.room;
  }
}

function upload(node: string, content: string): DeviceUpload {
  return { node, id: crypto.randomUUID(), topic: "t", sentMs: 1, content };
}

test("nothing of a node overtakes what could not be stored, until the node has to start over", async () => {
  const clock = new FakeClock();
  const store = new SmallStore();
  const log = silentLog();
  const startedOver: string[] = [];
  using intake = new Intake({
    store,
    clock,
    log,
    startOver: async (node) => {
      // The old connection may still say something while it is being closed.
      startedOver.push(`${node} ${await intake.receive(upload(node, "late"))}`);
    },
  });
  const stored: boolean[] = [];
  const say = async (node: string, content: string): Promise<void> => {
    stored.push(await intake.receive(upload(node, content)));
  };
  await say("a", "1");
  store.room = false;
  await say("a", "2");
  store.room = true;
  await say("a", "3");
  await say("b", "1");
  await clock.advance(10_000);
  await say("a", "2");
  await say("a", "3");
  expect(stored).toEqual([true, false, false, true, true, true]);
  expect(store.stored).toEqual(["a 1", "b 1", "a 2", "a 3"]);
  expect(startedOver).toEqual(["a false"]);
  expect(log.lines.map((line) => (JSON.parse(line) as { level: string }).level)).toEqual(["error", "info"]);
});

test("a disk that stays full is tried at growing intervals and logged once", async () => {
  const clock = new FakeClock();
  const store = new SmallStore();
  const log = silentLog();
  let trials = 0;
  store.hasRoom = () => (trials += 1) < 0;
  store.room = false;
  using intake = new Intake({ store, clock, log, startOver: async () => undefined });
  for (const node of ["a", "b", "a"]) await intake.receive(upload(node, "x"));
  await clock.advance(3_600_000);
  expect(trials).toBeLessThan(40);
  expect(trials).toBeGreaterThan(10);
  expect(log.lines.length).toBe(1);
});
