import { expect, test } from "bun:test";
import { AckLane } from "#internal/cloud/cloudhub/ack-lane.ts";
import { needsAck } from "#internal/cloud/cloudhub/routing.ts";
import { newMessage, type WireMessage } from "#shared/message";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { stamp } from "./hub-harness.ts";

interface Bench {
  readonly clock: FakeClock;
  readonly lane: AckLane;
  readonly written: string[];
  readonly acked: string[];
  tick(ms: number): Promise<void>;
}

function bench(sending: () => Promise<string> = () => Promise.resolve("0")): Bench {
  const clock = new FakeClock();
  const written: string[] = [];
  const acked: string[] = [];
  const lane = new AckLane({
    clock,
    write: (message) => written.push(message.header.msg_id) > 0,
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
  more: { operation?: string; source?: string; version?: string } = {},
): WireMessage {
  const { operation = "update", source = "edgecontroller", version = "1" } = more;
  const content = { metadata: { uid: "u", name: "n", namespace: "default", resourceVersion: version } };
  return newMessage(stamp, {
    source,
    group: "resource",
    operation,
    resource,
    content,
    resourceVersion: version,
  });
}

test("an object is repeated with the same id five times, then again after a while", async () => {
  const { lane, written, acked, tick } = bench();
  const update = message("default/configmap/n");
  lane.submit(update);
  await tick(26_000);
  expect(written).toEqual(Array.from({ length: 5 }, () => update.header.msg_id));
  await tick(10_000);
  expect(written.length).toBeGreaterThan(5);
  expect(new Set(written).size).toBe(1);
  expect(lane.acknowledge(update.header.msg_id)).toBe(true);
  expect(acked).toEqual(["u 1 false"]);
});

test("a late acknowledgement counts while the object is put aside", async () => {
  const { lane, written, acked, tick } = bench();
  const update = message("default/configmap/n");
  lane.submit(update);
  await tick(26_000);
  lane.acknowledge(update.header.msg_id);
  await tick(60_000);
  expect([written.length, acked]).toEqual([5, ["u 1 false"]]);
});

test("a newer version takes the place of one nobody acknowledges", async () => {
  const { lane, written, tick } = bench();
  const [old, fresh] = [message("default/configmap/n"), message("default/configmap/n", { version: "2" })];
  lane.submit(old);
  await tick(1000);
  lane.submit(fresh);
  await tick(6000);
  expect(written).toEqual([old.header.msg_id, fresh.header.msg_id]);
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

test("reliability is decided by type, not by words in names", () => {
  const cases: [WireMessage, boolean][] = [
    [message("default/pod/membership-1"), true],
    [message("membership/detail"), false],
    [message("default/podlist"), false],
    [message("default/configmap/podlist"), true],
    [message("default/serviceaccounttoken/a"), false],
    [message("device/d/twin/cloud_updated", { source: "devicecontroller" }), false],
    [message("default/podstatus/p"), false],
    [message("default/pod/p", { operation: "response" }), false],
    [message("default/secret/s", { operation: "response" }), true],
    [{ ...message("default/secret/s", { operation: "response" }), content: "OK" }, false],
    [{ ...message("default/secret/s"), route: { group: "user", resource: "default/secret/s" } }, false],
  ];
  expect(cases.map(([one]) => needsAck(one))).toEqual(cases.map(([, isAcked]) => isAcked));
});
