import { expect, test } from "bun:test";
import { nextTurn } from "#shared/clock";
import { readAnnouncement } from "#internal/edge/device-twin/discovery/announcement.ts";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const prefix = "homeassistant";
const read = (topic: string, body: unknown): ReturnType<typeof readAnnouncement> =>
  readAnnouncement(prefix, `${prefix}/${topic}/config`, Buffer.from(JSON.stringify(body)));

test("of ten thousand components a hundred are read, and the rest is named", () => {
  const components = Object.fromEntries(
    Array.from({ length: 4000 }, (_, n) => [`c${n}`, { p: "sensor", stat_t: "t", uniq_id: `c${n}` }]),
  );
  const announcement = read("device/x", { dev: { ids: ["x"] }, cmps: components });
  expect(announcement).toMatchObject({ kind: "properties", problems: ["more than 100 components"] });
  expect(announcement?.kind === "properties" && announcement.found.length).toBe(100);
  const tooLarge = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, n) => [`c${n}`, { p: "sensor", stat_t: "t" }]),
  );
  expect(read("device/x", { dev: { ids: ["x"] }, cmps: tooLarge })).toEqual({
    kind: "unusable",
    problem: "longer than 262144 bytes",
  });
});

test.each([
  ["a template that is too long", { val_tpl: `{{ value }}${" ".repeat(100)}${"x".repeat(5000)}` }],
  ["brackets without end", { val_tpl: `{{ ${"(".repeat(3000)} }}` }],
  ["a name of JavaScript", { val_tpl: "{{ constructor }}" }],
  ["a topic for everything of KubeEdge's", { stat_t: "$hw/#" }],
  ["a topic that is an object", { stat_t: { a: 1 } }],
])("%s makes the entity unusable", (_, body) => {
  expect(read("sensor/x/y", { stat_t: "t", dev: { ids: ["x"] }, uniq_id: "y", ...body })).toMatchObject({
    kind: "unusable",
  });
});

test("names of JavaScript's objects are names like others", () => {
  expect(read("__proto__/x/y", { stat_t: "t" })).toMatchObject({ kind: "unusable" });
  expect(read("constructor/x/y", { stat_t: "t" })).toMatchObject({ kind: "unusable" });
  expect(
    read("sensor/x/y", JSON.parse('{"stat_t":"t","__proto__":{"device":1},"uniq_id":"y"}')),
  ).toMatchObject({
    kind: "properties",
  });
});

test("a flood of announcements is bounded in devices, properties and characters", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, { discoveryPrefix: prefix }, clock);
  const long = `{{ value_json.${"a".repeat(3900)} }}`;
  const sends: Promise<void>[] = [];
  for (let device = 0; device < 40; device += 1)
    for (let name = 0; name < 105; name += 1)
      sends.push(
        node.send(`${prefix}/sensor/d${device}/p${name}/config`, {
          stat_t: "t",
          val_tpl: long,
          uniq_id: `p${name}`,
        }),
      );
  await Promise.all(sends);
  await clock.advance(5000);
  const offered = node.outbox().map(({ content }) => JSON.stringify(content).length);
  const sum = offered.reduce((total, one) => total + one, 0);
  expect(sum).toBeLessThan(40_000_000);
  expect(node.events.map(({ reason }) => reason)).toContain("AnnouncementNotTaken");
});

test("a device that is silent for its time is unknown, until it reports again", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  await node.addDevice({
    metadata: { name: "s", namespace: "default", uid: "u", resourceVersion: "1" },
    spec: {
      deviceModelRef: { name: "" },
      nodeName: "ke-edge",
      protocol: { protocolName: "mqtt", configData: { expireAfter: "10m" } },
      properties: [{ name: "t", visitors: { configData: { topic: "s/t" } } }],
    },
  });
  const states = (): unknown[] =>
    node
      .take()
      .filter(({ topic }) => topic.endsWith("/state/update/result"))
      .map(({ payload }) => (payload["device"] as { state: string }).state);
  await node.send("s/t", "1");
  await clock.advance(9 * 60_000);
  await node.send("s/t", "2");
  await clock.advance(9 * 60_000);
  expect(states()).toEqual(["online"]);
  await clock.advance(2 * 60_000);
  expect(states()).toEqual(["unknown"]);
  await clock.advance(60 * 60_000);
  expect(states()).toEqual([]);
  await node.send("s/t", "3");
  expect(states()).toEqual(["online"]);
});

test("a switch with a delay goes off by itself, also after a restart", async () => {
  using dir = tempDir();
  const device = {
    metadata: { name: "m", namespace: "default", uid: "u", resourceVersion: "1" },
    spec: {
      deviceModelRef: { name: "m" },
      nodeName: "ke-edge",
      protocol: { protocolName: "mqtt", configData: {} },
      properties: [{ name: "seen", visitors: { configData: { topic: "m/seen", offDelay: "30s" } } }],
    },
  };
  const model = {
    metadata: { name: "m", namespace: "default", uid: "m" },
    spec: { protocol: "mqtt", properties: [{ name: "seen", type: "BOOLEAN", accessMode: "ReadOnly" }] },
  };
  const seen = (node: { store: { metas: unknown }; twin: { show(one: never): unknown } }): unknown =>
    (node.twin.show(device as never) as { status?: { twins?: { reported?: { value: string } }[] } }).status
      ?.twins?.[0]?.reported?.value;
  {
    const clock = new FakeClock();
    await using node = await startHarness(dir.path, {}, clock);
    await node.addDevice(model);
    await node.addDevice(device);
    await node.send("m/seen", "on");
    await clock.advance(20_000);
    await node.send("m/seen", "on");
    await clock.advance(20_000);
    expect(seen(node)).toBe("true");
  }
  const clock = new FakeClock();
  await using node = await startHarness(dir.path, {}, clock);
  expect(seen(node)).toBe("true");
  await clock.advance(30_000);
  expect(seen(node)).toBe("false");
});

test("commands that older versions left at the broker are cleared once", async () => {
  using dir = tempDir();
  const device = {
    metadata: { name: "p", namespace: "default", uid: "u", resourceVersion: "1" },
    spec: {
      deviceModelRef: { name: "" },
      nodeName: "ke-edge",
      protocol: { protocolName: "mqtt", configData: {} },
      properties: [
        { name: "on", desired: { value: "1" }, visitors: { configData: { setTopic: "p/set" } } },
        {
          name: "kept",
          desired: { value: "1" },
          visitors: { configData: { setTopic: "p/kept", setRetain: true } },
        },
      ],
    },
  };
  const cleared: string[][] = [];
  for (let start = 0; start < 3; start += 1) {
    await using node = await startHarness(dir.path, {}, new FakeClock());
    if (start === 0) {
      await node.addDevice(device);
      continue;
    }
    const bus = node.bus.port<never, "mqtt.filters">("eventbus");
    await bus.ask("mqtt.filters", {});
    await bus.ask("mqtt.filters", {});
    // A commit and what it publishes take turns of the event loop, no time.
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    cleared.push(
      node.published
        .filter(({ retain, payload }) => retain && payload.length === 0)
        .map(({ topic }) => topic),
    );
  }
  expect(cleared).toEqual([["p/set"], []]);
});
