import { expect, test } from "bun:test";
import { startHarness, type Harness } from "#internal/test/edge/device-twin/harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const topic = "homeassistant/sensor/plug/p/config";

async function discovering(directory: string, clock: FakeClock): Promise<Harness> {
  return startHarness(directory, { discoveryPrefix: "homeassistant" }, clock);
}

test("unusable announcements are recorded by one Event on the Node", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using node = await discovering(dir.path, clock);
  await node.send(topic, { stat_t: "s", val_tpl: "{{ value | foo }}" });
  await node.send("homeassistant/button/plug/b/config", { stat_t: "press" });
  await clock.advance(5000);
  expect(node.outbox()).toEqual([]);
  expect(node.events.map(({ reason, involvedObject }) => [reason, involvedObject?.kind])).toEqual([
    ["AnnouncementNotTaken", "Node"],
  ]);
  const message = node.events[0]?.message;
  expect(message).toContain(`${topic}: value_template "{{ value | foo }}" has the unknown filter "foo"`);
  expect(message).toContain(
    "homeassistant/button/plug/b/config: no topic of a button that can be read or written",
  );
});

test("an announcement is offered again after it was withdrawn", async () => {
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

test("a device Home Assistant would find is offered to the cloud with its topics", async () => {
  using dir = tempDir();
  await using node = await startHarness(dir.path, { discoveryPrefix: "homeassistant" });
  await node.send("homeassistant/switch/plug/relay/config", {
    "~": "plugs/1",
    name: "Relay",
    uniq_id: "relay",
    stat_t: "~/state",
    cmd_t: "~/set",
    val_tpl: "{{ value_json.relay }}",
    dev: { ids: ["plug-1"] },
  });
  expect(node.outbox()).toMatchObject([
    {
      resource: "device/plug-1/discovered",
      operation: "insert",
      content: {
        model: { spec: { properties: [{ name: "relay", type: "BOOLEAN", accessMode: "ReadWrite" }] } },
        device: {
          metadata: { name: "plug-1", namespace: "default" },
          spec: {
            nodeName: "ke-edge",
            properties: [
              {
                name: "relay",
                visitors: {
                  configData: {
                    topic: "plugs/1/state",
                    path: "$.relay",
                    expression: 'value == "ON" ? true : value == "OFF" ? false : "neither"',
                    setTopic: "plugs/1/set",
                    setOn: "ON",
                    setOff: "OFF",
                  },
                },
              },
            ],
          },
        },
      },
    },
  ]);
});
