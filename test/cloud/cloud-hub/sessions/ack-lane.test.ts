import { expect, test } from "bun:test";
import { AckLane, type TrackedMessage } from "#internal/cloud/cloud-hub/sessions/ack-lane.ts";
import { downstreamMessage } from "#internal/cloud/cloud-hub/codec/downstream-message.ts";
import type { DeliveredObject } from "#shared/topics";
import { newMessage } from "#shared/wire";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { stamp } from "#internal/test/cloud/cloud-hub/hub-harness.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly lane: AckLane;
  readonly written: string[];
  readonly acked: string[];
  tick(ms: number): Promise<void>;
}

function bench(sending: (object: DeliveredObject) => Promise<string> = () => Promise.resolve("0")): Bench {
  const clock = new FakeClock();
  const written: string[] = [];
  const acked: string[] = [];
  const lane = new AckLane({
    clock,
    write: (message) => written.push(message.id) > 0,
    sending,
    acked: (object, deleted) => acked.push(`${object.uid} ${object.resourceVersion} ${deleted}`),
    failed: () => undefined,
    overflow: () => undefined,
  });
  const tick = async (ms: number): Promise<void> => {
    for (let spent = 0; spent < ms; spent += 1000) {
      await clock.advance(1000);
      lane.sweep(clock.monotonicMs());
    }
    await clock.advance(0);
  };
  return { clock, lane, written, acked, tick };
}

function message(
  resource: string,
  more: { operation?: string; source?: string; version?: string; uid?: string } = {},
): TrackedMessage {
  const { operation = "update", source = "edgecontroller", version = "1", uid = "u" } = more;
  const content = { metadata: { uid, name: "n", namespace: "default", resourceVersion: version } };
  const parts = { source, group: "resource", operation, resource, content, resourceVersion: version };
  const { tracked, ...rest } = downstreamMessage(newMessage(stamp, parts));
  if (!tracked) throw new Error(`${operation} ${resource} is not acknowledged`);
  return { ...rest, tracked };
}

test("an object is repeated with the same id five times, then again after a while", async () => {
  const { lane, written, acked, tick } = bench();
  const update = message("default/configmap/n");
  lane.submit(update);
  await tick(26_000);
  expect(written).toEqual(Array.from({ length: 5 }, () => update.id));
  await tick(10_000);
  expect(written.length).toBeGreaterThan(5);
  expect(new Set(written).size).toBe(1);
  expect(lane.acknowledge(update.id)).toBe(true);
  expect(acked).toEqual(["u 1 false"]);
});

test("a late acknowledgement counts while the object is put aside", async () => {
  const { lane, written, acked, tick } = bench();
  const update = message("default/configmap/n");
  lane.submit(update);
  await tick(26_000);
  lane.acknowledge(update.id);
  await tick(60_000);
  expect([written.length, acked]).toEqual([5, ["u 1 false"]]);
});

test("a newer version replaces one that is not acknowledged", async () => {
  const { lane, written, tick } = bench();
  const [old, fresh] = [message("default/configmap/n"), message("default/configmap/n", { version: "2" })];
  lane.submit(old);
  await tick(1000);
  lane.submit(fresh);
  await tick(6000);
  expect(written).toEqual([old.id, fresh.id]);
});

test("an object that cannot be recorded now is sent later", async () => {
  let fails = true;
  const { lane, written, tick } = bench(() =>
    fails ? Promise.reject(new Error("away")) : Promise.resolve("0"),
  );
  lane.submit(message("default/configmap/n"));
  await tick(1000);
  expect(written).toEqual([]);
  fails = false;
  await tick(10_000);
  expect(written.length).toBeGreaterThan(0);
});

test("what a node had to give up is given back after the deletion, although the version was acknowledged before", async () => {
  const { lane, written, acked, tick } = bench(() => Promise.resolve("1"));
  const [gone, back] = ["delete", "insert"].map((operation) => message("default/configmap/n", { operation }));
  if (!gone || !back) throw new Error("two messages were expected");
  lane.submit(gone);
  await tick(1000);
  lane.submit(message("default/configmap/n"));
  lane.submit(back);
  await tick(6000);
  expect(written).toEqual([gone.id, back.id]);
  lane.acknowledge(back.id);
  expect(acked).toEqual(["u 1 false"]);
});

test("an older insert does not undo a deletion", async () => {
  const { lane, written, tick } = bench();
  const gone = message("default/pod/n", { operation: "delete", version: "5" });
  lane.submit(gone);
  lane.submit(message("default/pod/n", { operation: "insert", version: "4" }));
  await tick(1000);
  lane.acknowledge(gone.id);
  await tick(1000);
  expect(written).toEqual([gone.id]);
});

test("objects are written in the order they were sent in, however long recording each takes", async () => {
  const recorded = Promise.withResolvers<string>();
  const { lane, written, tick } = bench(({ uid }) =>
    uid === "slow" ? recorded.promise : Promise.resolve("0"),
  );
  const config = message("default/configmap/n", { operation: "insert", uid: "slow" });
  const pod = message("default/pod/n", { operation: "insert" });
  lane.submit(config);
  lane.submit(pod);
  await tick(1000);
  expect(written).toEqual([]);
  recorded.resolve("0");
  await tick(1000);
  expect(written).toEqual([config.id, pod.id]);
});
