import { afterEach, beforeEach, expect, test } from "bun:test";
import { DesiredWrites } from "#cloud/device-controller/desired";
import { resources } from "#cloud/kube-client";
import type { Device, Event } from "#shared/kube";
import { startCloud, type Cloud } from "#internal/test/cloud/edge-controller/cloud-harness.ts";

const type = {
  group: "devices.kubeedge.io",
  version: "v1beta1",
  plural: "devices",
  kind: "Device",
  namespaced: true,
} as const;
const device = (name: string, nodeName: string, target: string): Device => ({
  metadata: { name, namespace: "default", uid: `uid-of-${name}` },
  spec: { nodeName, properties: [{ name: "target", desired: { value: target } }] },
});

let cloud: Cloud;

beforeEach(async () => {
  cloud = await startCloud((kube) => {
    kube.put(type, device("mine", "e1", "20"));
    kube.put(type, device("other", "e2", "20"));
  });
  const { kube, clock } = cloud;
  const changedMs = clock.nowMs() - 60_000;
  const writes = new DesiredWrites({ kube, type, times: { of: () => changedMs } });
  cloud.devices({
    concerns: async ({ node, namespace, name }) =>
      kube.peek<Device>(type, `${namespace}/${name}`)?.spec?.nodeName === node,
    desire: (request) => writes.write(request),
  });
});
afterEach(() => cloud[Symbol.asyncDispose]());

const value = (given: object = {}): object => ({
  property: "target",
  value: "23",
  bases: ["20"],
  ageMs: 1000,
  isByClock: false,
  ...given,
});

function desire(name: string, given: object = {}, whole: object = {}): Promise<unknown> {
  const content = { uid: `uid-of-${name}`, sentMs: cloud.clock.nowMs(), values: [value(given)], ...whole };
  return cloud.ask("patch", `default/devicedesired/${name}`, content);
}

const target = (name: string): unknown =>
  cloud.kube.peek<Device>(type, `default/${name}`)?.spec?.properties?.[0]?.desired?.value;
const events = async (): Promise<unknown> =>
  (await cloud.kube.list<Event & { metadata: object }>(resources.events)).items.map(({ reason, message }) => [
    reason,
    message,
  ]);

test("a node sets desired values of its own Devices", async () => {
  expect(await desire("mine")).toMatchObject({
    Object: { spec: { properties: [{ desired: { value: "23" } }] } },
  });
  expect([target("mine"), await events()]).toEqual(["23", []]);
});

test.each([
  ["a Device of another node", "other", {}, {}, 403],
  ["a Device that is not there", "gone", {}, {}, 403],
  ["another Device of the name", "mine", {}, { uid: "uid-of-before" }, 404],
  ["a value that is no text", "mine", { value: 23 }, {}, 400],
  ["an age that is none", "mine", { ageMs: "1" }, {}, 400],
  ["bases without end", "mine", { bases: Array.from({ length: 33 }, String) }, {}, 400],
  ["no values", "mine", {}, { values: "x" }, 400],
  ["too much", "mine", { value: "x".repeat(300_000) }, {}, 413],
] as const)("a node is refused %s", async (_what, name, ...[given, whole, code]) => {
  expect(await desire(name, given, whole)).toMatchObject({ Err: { ErrStatus: { code } } });
  expect([target("mine"), target("other")]).toEqual(["20", "20"]);
});

test("what else a node puts beside the values changes nothing", async () => {
  await desire(
    "mine",
    { spec: { nodeName: "e2" } },
    { spec: { nodeName: "e2" }, metadata: { labels: { a: "b" } } },
  );
  expect(cloud.kube.peek<Device>(type, "default/mine")).toMatchObject({ spec: { nodeName: "e1" } });
  expect(cloud.kube.peek<Device>(type, "default/mine")?.metadata.labels).toBeUndefined();
});

test("the side that loses gets an Event on the Device, and a repetition makes none", async () => {
  await desire("mine", { bases: ["19"] });
  await desire("mine", { bases: ["19"] });
  await desire("mine", { bases: ["19"], value: "24", ageMs: 61_000 });
  expect([target("mine"), await events()]).toEqual([
    "23",
    [
      [
        "DesiredValueReplaced",
        'target: "20" set in the API was replaced by "23" set on node e1: it is newer',
      ],
      [
        "DesiredValueDropped",
        'target: "24" set on node e1 was dropped, "23" set in the API stays: it is newer',
      ],
    ],
  ]);
});

test("a Device that others write at the same time is read again", async () => {
  const { kube } = cloud;
  let left = 3;
  const patch = kube.patch.bind(kube);
  kube.patch = async (...call) => {
    if (left-- > 0) kube.put(type, { ...device("mine", "e1", "20"), status: { writes: left } });
    return patch(...call);
  };
  await desire("mine");
  expect(target("mine")).toBe("23");
});

test("a node that writes without end is refused for a while (429)", async () => {
  for (let count = 0; count < 1010; count += 1)
    await desire("mine", { value: String(count), bases: [target("mine")] });
  expect(await desire("mine", { bases: [target("mine")] })).toMatchObject({
    Err: { ErrStatus: { code: 429 } },
  });
});
