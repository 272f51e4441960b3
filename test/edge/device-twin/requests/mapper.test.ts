import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import { startEventBus } from "#edge/mqtt/event-bus";
import { startHarness } from "#internal/test/edge/device-twin/harness.ts";
import { openBroker } from "#internal/test/edge/mqtt/event-bus/harness.ts";
import { needs } from "#internal/test/support/needs.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** A virtual environment may hide what the system's Python has. */
const python = [Bun.which("python3"), "/usr/bin/python3"].find(
  (path) => path && Bun.spawnSync([path, "-c", "import paho.mqtt.client"]).success,
);
const model = {
  metadata: { name: "light-model", namespace: "default" },
  spec: {
    properties: [
      { name: "power-status", type: "STRING", accessMode: "ReadWrite" },
      { name: "temperature-status", type: "STRING", accessMode: "ReadOnly" },
    ],
  },
};

function light(power: string, version: string): object {
  return {
    metadata: { name: "light-1", namespace: "default", resourceVersion: version },
    spec: {
      deviceModelRef: { name: "light-model" },
      nodeName: "ke-edge",
      properties: [{ name: "power-status", desired: { value: power } }, { name: "temperature-status" }],
    },
  };
}

/** The steps that a program prints, one after another. */
async function* stepsOf(output: ReadableStream<Uint8Array>): AsyncGenerator<Record<string, unknown>> {
  let rest = "";
  for await (const chunk of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield JSON.parse(line) as Record<string, unknown>;
  }
}

interface Way {
  readonly protocol: string;
  readonly transport: string;
  readonly qos: number;
  readonly id: string;
}

const ways = ["3.1", "3.1.1"].flatMap((protocol) =>
  ["tcp", "websockets"].flatMap((transport) =>
    [0, 1, 2].map((qos): Way => ({
      protocol,
      transport,
      qos,
      id: qos === 1 ? "default/light-1" : "light-1",
    })),
  ),
);

describe.skipIf(!needs({ "python3-paho-mqtt": python !== undefined }))(
  "a mapper written for KubeEdge",
  () => {
    test.each(ways)("works over MQTT $protocol, $transport, QoS $qos, as $id", async (way) => {
      using dir = tempDir();
      await using node = await startHarness(dir.path);
      const rules = node.bus.port<never, never, never, "rule.list">("rules");
      rules.answer("rule.list", async () => []);
      await using broker = await startEventBus(
        { node: "ke-edge", version: "0.0.0", qos: 0, retain: false, external: undefined, broker: openBroker },
        { port: node.bus.port("eventbus"), store: node.store, clock: systemClock, log: silentLog() },
      );
      await node.addDevice(model);
      await node.addDevice(light("OFF", "7"));
      const port = way.transport === "tcp" ? broker.mqttPort : broker.websocketPort;
      const args = Object.entries({ port, node: "ke-edge", device: way.id, ...way, id: undefined });
      const flags = args.flatMap(([name, value]) =>
        value === undefined ? [] : [`--${name}`, String(value)],
      );
      await using mapper = Bun.spawn([python ?? "", join(import.meta.dir, "mapper.py"), ...flags], {
        stderr: "inherit",
      });

      const steps: Record<string, unknown>[] = [];
      for await (const step of stepsOf(mapper.stdout)) {
        steps.push(step);
        const { twin } = step as { twin?: Record<string, string> };
        if (step["step"] !== "reported") continue;
        if (twin?.["power-status"] === "OFF") await node.addDevice(light("ON", "8"));
        else if (twin?.["power-status"] === "ON")
          await node.deliver("membership", { removed_devices: [{ id: "light-1", name: "light-1" }] });
      }

      const names = ["power-status", "temperature-status"];
      expect(await mapper.exited).toBe(0);
      // The document of the last report and the end come close together: order is by topic there.
      expect(steps.filter(({ step }) => step !== "document")).toEqual([
        { step: "subscribed", granted: Array.from({ length: 7 }, () => way.qos) },
        { step: "members", event: "members", devices: ["light-1"] },
        { step: "state", state: "online" },
        { step: "twin", names, wanted: { "power-status": "OFF" } },
        { step: "reported", twin: { "power-status": "OFF", "temperature-status": "25C" } },
        { step: "delta", delta: { "power-status": "ON" } },
        { step: "reported", twin: { "power-status": "ON" } },
        { step: "gone" },
      ]);
      expect(steps).toContainEqual({ step: "document", names });
    });
  },
);
