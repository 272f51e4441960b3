import { expect, test } from "bun:test";
import { readMapping, readReport } from "#shared/devices";
import type { Device, DeviceModel } from "#shared/kube";
import { readAnnouncement, type Announcement } from "#internal/edge/device-twin/discovery/announcement.ts";
import { offeredObjects } from "#internal/edge/device-twin/discovery/offered-objects.ts";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";

const topic = "homeassistant/sensor/plug/p/config";

function announce(body: object, component = "sensor"): Announcement | undefined {
  const payload = Buffer.from(JSON.stringify({ stat_t: "plug/state", ids: ["x"], ...body }));
  return readAnnouncement("homeassistant", `homeassistant/${component}/plug/p/config`, payload);
}

function objects(said: Announcement | undefined): { device: Device; model: DeviceModel } {
  if (said?.kind !== "property") throw new Error(`not offered: ${JSON.stringify(said)}`);
  return offeredObjects([said.found], "edge-1");
}

/** What the property is after the device sent a payload, and the state of the device. */
function read(body: object, payload: string, component?: string, on = "plug/state"): unknown {
  const { device, model } = objects(announce(body, component));
  const { mapping } = readMapping(device, model);
  const report = mapping && readReport(mapping, on, Buffer.from(payload));
  return report?.values[0]?.value ?? report?.state;
}

test.each([
  [{ pl_on: true, pl_off: false, val_tpl: "{{ value_json.o }}" }, '{"o":true}', "true"],
  [{ pl_on: true, pl_off: false, val_tpl: "{{ value_json.o }}" }, '{"o":false}', "false"],
  [{ pl_on: 1, pl_off: 0 }, "1", "true"],
  [{ pl_on: 1, pl_off: 0 }, "0", "false"],
  [{ pl_on: "auf", pl_off: "zu" }, "zu", "false"],
  [{ stat_on: "An", stat_off: "Aus" }, "An", "true"],
  [{}, "unavailable", undefined],
])("a switch announced with %j that sends %s is %s", (body, payload, value) => {
  expect(read(body, payload, "switch")).toBe(value as string);
});

test("a sensor is read as its template says", () => {
  const body = { val_tpl: "{{ value | float / 10 }}", unit_of_meas: "°C" };
  expect(read(body, "215")).toBe("21.5");
});

test.each([
  [{ avty_t: "~/lwt", "~": "plug/1" }, "plug/1/lwt", "online", "online"],
  [{ avty_t: "lwt", pl_avail: "Online", pl_not_avail: "Offline" }, "lwt", "Offline", "offline"],
  [{ avty: [{ t: "~/lwt", pl_avail: "up" }], "~": "plug" }, "plug/lwt", "up", "online"],
])("availability announced as %j is the state of the device", (body, on, payload, state) => {
  expect(read(body, payload, "sensor", on)).toBe(state);
});

test("the base of topics stands for ~ at the start or at the end, whatever is in it", () => {
  const { device } = objects(announce({ "~": "a$&/b", stat_t: "~/s", cmd_t: "set/~" }, "switch"));
  expect(device.spec?.properties?.[0]?.visitors?.configData).toMatchObject({
    topic: "a$&/b/s",
    setTopic: "set/a$&/b",
  });
});

test("a light and a number are told as their announcements say", () => {
  const configOf = (body: object, component: string): unknown =>
    objects(announce({ cmd_t: "set", ...body }, component)).device.spec?.properties?.[0]?.visitors
      ?.configData;
  expect(configOf({ schema: "json" }, "light")).toMatchObject({
    path: "$.state",
    setOn: '{"state":"ON"}',
    setOff: '{"state":"OFF"}',
  });
  expect(configOf({ cmd_tpl: '{"target":{{ value }}}' }, "number")).toMatchObject({
    setPayload: '{"target":{{ value }}}',
  });
});

test.each([
  [{ val_tpl: "{% if value %}1{% endif %}" }, "value_template"],
  [{ val_tpl: "{{ value_json.a | default(0) | foo }}" }, "value_template"],
  [{ cmd_t: "set", cmd_tpl: "{{ value | int }}" }, "command_template"],
  [{ stat_t: "$SYS/x" }, "must not start with $"],
  [{ stat_t: undefined }, "no state_topic"],
])("an announcement with %j is left out with its reason", (body, problem) => {
  expect(announce(body)).toEqual({ kind: "unusable", problem: expect.stringContaining(problem) });
});

test("an availability that cannot be read leaves the property, and says so", () => {
  const said = announce({ avty: [{ t: "lwt", val_tpl: "{{ value_json.state }}" }] });
  expect(said).toMatchObject({ kind: "property", problem: expect.stringContaining("template") });
  expect(objects(said).device.spec?.protocol?.configData).toEqual({});
});

async function discovering(directory: string, clock: FakeClock): Promise<Harness> {
  return startHarness(directory, { discoveryPrefix: "homeassistant" }, clock);
}

test("what cannot be taken is told by one Event on the Node", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await discovering(dir.path, clock);
  await node.send(topic, { stat_t: "s", val_tpl: "{{ value | foo }}" });
  await node.send("homeassistant/button/plug/b/config", { cmd_t: "press" });
  await clock.advance(5000);
  expect(node.outbox()).toEqual([]);
  expect(node.events.map(({ reason, involvedObject }) => [reason, involvedObject?.kind])).toEqual([
    ["AnnouncementNotTaken", "Node"],
  ]);
  const message = node.events[0]?.message;
  expect(message).toContain(`${topic}: value_template "{{ value | foo }}" cannot translate the filter "foo"`);
  expect(message).toContain("homeassistant/button/plug/b/config: no state_topic");
});

test("an announcement taken back and made again is offered again", async () => {
  using dir = tempDir();
  await using node = await discovering(dir.path, new FakeClock());
  const offers = (): number =>
    [...node.store.outbox.listAfter(0, 100)].map(({ id }) => id).reduce((most, id) => Math.max(most, id), 0);
  await node.send(topic, { stat_t: "s" });
  const first = offers();
  await node.send(topic, { stat_t: "s" });
  expect(offers()).toBe(first);
  await node.send(topic, "");
  await node.send(topic, { stat_t: "s" });
  expect(offers()).toBeGreaterThan(first);
});
