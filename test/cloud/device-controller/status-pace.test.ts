import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { Device, Event } from "#shared/kube";
import type { DeliveredObject } from "#shared/topics";
import { Pace } from "#internal/cloud/device-controller/status/pace.ts";
import {
  covers,
  mergeReports,
  type PendingReport,
} from "#internal/cloud/device-controller/status/reports.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { device, startCloud, type Cloud } from "./harness.ts";

test("a pace is kept, and a fifth of a second's writes may start at once", async () => {
  const clock = new FakeClock();
  const pace = new Pace(100, clock);
  const take = (): number => {
    let taken = 0;
    while (taken < 1000 && pace.take()) taken += 1;
    return taken;
  };
  expect(take()).toBe(100);
  await clock.advance(10_000);
  expect(take()).toBe(20);
  let taken = 0;
  for (let tick = 0; tick < 100; tick += 1) {
    await clock.advance(20);
    taken += take();
  }
  expect(taken).toBe(200);
});

test("without a limit every write may start", () => {
  const pace = new Pace(undefined, new FakeClock());
  expect(Array.from({ length: 100_000 }, () => pace.take()).every(Boolean)).toBe(true);
});

const reported = (value: string): { readonly reported: { readonly value: string } } => ({
  reported: { value },
});
const report = (names: readonly string[], more: Partial<PendingReport> = {}): PendingReport => ({
  twins: new Map(names.map((name) => [name, reported("1")])),
  deviceUid: "u",
  ...more,
});

test.each([
  ["the same properties", report(["a"]), report(["a"]), true],
  ["more properties", report(["a", "b"]), report(["a"]), true],
  ["fewer properties", report(["a"]), report(["a", "b"]), false],
  ["no state where there was one", report(["a"]), report([], { state: "online" }), false],
  ["another Device", report(["a"], { deviceUid: "v" }), report(["a"]), false],
  [
    "no uid, as nodes of KubeEdge",
    report(["a"], { deviceUid: undefined }),
    report(["a"], { deviceUid: undefined }),
    false,
  ],
])("a report with %s answers one before it or not", (_what, next, before, expected) => {
  expect(covers(next, before)).toBe(expected);
  if (expected) expect([...mergeReports(before, next).twins.keys()]).toEqual([...next.twins.keys()]);
});

test("a report is answered when a later one has all of it, and that one when it is written", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, { ...device("thermo-1", "edge-1") }),
  );
  await cloud.clock.advance(1);
  const uid = cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.metadata.uid ?? "";
  const say = (value: number): Promise<void> =>
    cloud.say(
      "device/thermo-1/twin/edge_updated",
      { device_uid: uid, twin: { target: { actual: { value: `${value}` } } } },
      `m${value}`,
    );
  const answered = (): (string | undefined)[] =>
    cloud.sent.map(({ message }) => message.header.parent_msg_id).filter((id) => id !== undefined);
  await say(1);
  for (const value of [2, 3, 4]) await say(value);
  // The first was written at once; the device rests half a second now.
  expect(answered()).toEqual(["m1", "m2", "m3"]);
  await cloud.clock.advance(1000);
  expect(answered()).toEqual(["m1", "m2", "m3", "m4"]);
});

test("statuses that fall behind get an Event once in five minutes, and the age in the status", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  cloud.kube.fail(({ verb }) => verb === "patch", new Error("away"), 12);
  await cloud.say("device/thermo-1/twin/edge_updated", { twin: { target: { actual: { value: "1" } } } });
  for (let n = 2; n < 40; n += 1) {
    await cloud.clock.advance(1000);
    await cloud.say(
      "device/thermo-1/twin/edge_updated",
      { twin: { target: { actual: { value: `${n}` } } } },
      `m${n}`,
    );
  }
  await cloud.clock.advance(120_000);
  const events = cloud.kube.calls.filter(({ verb }) => verb === "create").length;
  expect(events).toBe(1);
  const status = cloud.kube.peek<Device>(resources.devices, "default/thermo-1")?.status;
  expect(status?.twins?.[0]?.reported?.value).toBe("39");
  const { items } = await cloud.kube.list<Event>(resources.events);
  expect(items).toMatchObject([
    { reason: "StatusBehind", involvedObject: { kind: "Device", name: "thermo-1" } },
  ]);
});

test("after a crash of the API each node reports its devices again when it connects, once", async () => {
  const lost = keptStatuses();
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
    { lostStatuses: lost },
  );
  const known = cloud.kube.peek<Device>(resources.devices, "default/thermo-1");
  await cloud.clock.advance(1);
  await cloud.connect("edge-1");
  const members = (): number => cloud.texts().filter((text) => text.includes("membership")).length;
  expect(known).toBeDefined();
  expect(members()).toBe(1);
  cloud.delivered.push(...cloud.recorded);
  await cloud.connect("edge-1");
  expect(members()).toBe(1);
});

/** As the database of the API, which outlives cloudcore. */
function keptStatuses(): { asked: readonly string[] | undefined; save(asked?: readonly string[]): void } {
  return {
    asked: [],
    save(asked) {
      this.asked = asked;
    },
  };
}

test("a node that is offline after a crash reports again after further restarts, and the others do not", async () => {
  const lost = keptStatuses();
  const members = async (...connected: string[]): Promise<string[]> => {
    await using cloud = await startCloud(
      (kube) => {
        kube.put(resources.devices, device("thermo-1", "edge-1"));
        kube.put(resources.devices, device("thermo-2", "edge-2"));
      },
      { lostStatuses: lost },
    );
    for (const node of connected) {
      cloud.delivered.splice(0, Infinity, deliveredTo(node, cloud));
      await cloud.connect(node);
    }
    return cloud.texts().filter((text) => text.includes("membership"));
  };
  expect(await members("edge-1")).toHaveLength(1);
  expect(lost.asked).toEqual(["edge-1"]);
  expect(await members("edge-1")).toHaveLength(0);
  expect(await members("edge-1", "edge-2")).toHaveLength(1);
  expect(lost.asked).toBeUndefined();
  expect(await members("edge-1", "edge-2")).toHaveLength(0);
});

/** A node has its device, as it is. */
function deliveredTo(node: string, { kube }: Cloud): DeliveredObject {
  const name = node.replace("edge", "thermo");
  const { metadata } = kube.peek<Device>(resources.devices, `default/${name}`) ?? device(name, node);
  const { uid = "", resourceVersion = "" } = metadata;
  const of = { apiVersion: "devices.kubeedge.io/v1beta1", kind: "Device", namespace: "default" };
  return { ...of, name, uid, resourceVersion };
}
