import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync } from "mqtt";
import { eventually, run } from "#internal/scripts/service.ts";
import { inOrder } from "#internal/test/support/in-order.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const able = hasPair() && needsCommands("mosquitto_pub", "mosquitto_sub");

const model = {
  apiVersion,
  kind: "DeviceModel",
  metadata: { name: "thermostat", namespace: "default" },
  spec: {
    protocol: "mqtt",
    properties: [
      { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
      { name: "mode", type: "STRING", accessMode: "ReadWrite" },
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", minimum: "5", maximum: "35" },
    ],
  },
};

const device = (nodeName: string, target: string): object => ({
  apiVersion,
  kind: "Device",
  metadata: { name: "thermo-1", namespace: "default" },
  spec: {
    deviceModelRef: { name: "thermostat" },
    nodeName,
    properties: [{ name: "temperature" }, { name: "mode" }, { name: "target", desired: { value: target } }],
  },
});

const topic = (end: string): string => `$hw/events/device/thermo-1/twin/${end}`;
const targetPath = "/spec/properties/2/desired/value";

describe.skipIf(!able)("desired values set on a node", () => {
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    await pair.apply(model, device(pair.node, "20"));
    await until(20_000, async () => (await targetOnNode(pair)) === "20" || "the node has no Device yet");
  }, 120_000);
  afterAll(() => pair[Symbol.asyncDispose]());

  test("are in effect there at once, survive, and meet those of the cloud by the rule", async () => {
    const steps = inOrder();
    steps.step("reach the device and the cloud while there is a link", async () => {
      await using deltas = await followDeltas(pair);
      await setOnNode(pair, "23.5");
      expect(await targetOnNode(pair)).toBe("23.5");
      await deltas.see("23.5");
      await until(10_000, async () => (await targetInCloud(pair)) === "23.5" || "not in the cloud");
    });

    steps.step("survive kill -9 and a start without a link, with what devices report", async () => {
      pair.link.cut({ refuse: true });
      const twin = { temperature: { actual: { value: "19.75" } }, target: { actual: { value: "23.5" } } };
      const update = JSON.stringify({ event_id: "1", timestamp: 0, twin });
      await run(["mosquitto_pub", "-p", mqttPort(pair), "-q", "1", "-t", topic("update"), "-m", update]);
      await setOnNode(pair, "24.5");
      await pair.killEdge();
      await pair.startEdge();
      await until(20_000, async () => (await targetOnNode(pair)) === "24.5" || "not there again");
      expect(await reported(pair)).toEqual({ temperature: "19.75", target: "23.5" });
      await using deltas = await followDeltas(pair);
      pair.link.restore();
      await until(30_000, async () => (await targetInCloud(pair)) === "24.5" || "not in the cloud");
      await until(10_000, () => underWay(pair) === 0 || "still under way");
      expect(deltas.seen()).not.toContain("23.5");
      expect(await targetOnNode(pair)).toBe("24.5");
    });

    steps.step("win over an earlier change in the cloud, which is reported", async () => {
      pair.link.cut({ refuse: true });
      await setInCloud(pair, "30");
      await setOnNode(pair, "25");
      pair.link.restore();
      await until(30_000, async () => (await targetInCloud(pair)) === "25" || "not in the cloud");
      expect(await targetOnNode(pair)).toBe("25");
      await until(10_000, async () => {
        const said = await events(pair, "DesiredValueReplaced");
        return said.includes(`target: "30" set in the API was replaced by "25" set on node`) || said;
      });
    });

    steps.step("lose to a later change in the cloud, and that is reported", async () => {
      pair.link.cut({ refuse: true });
      await setOnNode(pair, "26");
      await setInCloud(pair, "31");
      await using deltas = await followDeltas(pair);
      pair.link.restore();
      await until(30_000, async () => (await targetOnNode(pair)) === "31" || "not on the node");
      await deltas.see("31");
      expect(await targetInCloud(pair)).toBe("31");
      await until(10_000, async () => {
        const said = await events(pair, "DesiredValueDropped");
        return (
          (said.includes('target: "26" set on node') && said.includes('"31" set in the API stays')) || said
        );
      });
      expect(underWay(pair)).toBe(0);
    });

    steps.step("are set with apply, edit, replace and merge patches, and nothing else is", async () => {
      pair.link.cut({ refuse: true });
      const manifest = join(pair.edgeDir, "device.json");
      writeFileSync(manifest, JSON.stringify(device(pair.node, "10")));
      await onNode(pair, "apply", "-f", manifest);
      expect(await targetOnNode(pair)).toBe("10");
      const editor = join(pair.edgeDir, "editor");
      writeFileSync(
        editor,
        `#!/bin/sh
sed -i 's/value: "10"/value: "11"/' "$1"
`,
        { mode: 0o700 },
      );
      await onNodeWith(pair, { EDITOR: editor }, "edit", "device", "thermo-1");
      expect(await targetOnNode(pair)).toBe("11");
      // What the device reports in between makes a new version.
      await eventually(20_000, async () => {
        const shown = await onNode(pair, "get", "device", "thermo-1", "-o", "json");
        writeFileSync(manifest, shown.replace('"value": "11"', '"value": "12"'));
        await onNode(pair, "replace", "-f", manifest);
      });
      expect(await targetOnNode(pair)).toBe("12");
      await expect(onNode(pair, "replace", "-f", manifest)).rejects.toThrow("has been modified");
      await expect(setOnNode(pair, "99")).rejects.toThrow("must be at most 35");
      await expect(onNode(pair, "label", "device", "thermo-1", "a=b")).rejects.toThrow("metadata.labels");
      await expect(onNode(pair, "delete", "device", "thermo-1")).rejects.toThrow("use a token of the API");
      const properties = [
        { name: "temperature" },
        { name: "mode", desired: { value: "eco" } },
        { name: "target" },
      ];
      const patch = JSON.stringify({ spec: { properties } });
      await onNode(pair, "patch", "device", "thermo-1", "--type=merge", "-p", patch);
      expect(await targetOnNode(pair)).toBe("");
      pair.link.restore();
      await until(30_000, async () => (await targetInCloud(pair)) === "" || "still in the cloud");
      const mode = "jsonpath={.spec.properties[1].desired.value}";
      expect(await pair.kubectl("get", "device", "thermo-1", "-o", mode)).toBe("eco");
    });
    await steps.run();
  }, 240_000);
});

async function onNodeWith(
  pair: Pair,
  env: Record<string, string>,
  ...words: readonly string[]
): Promise<string> {
  const file = join(pair.edgeDir, "kubeconfig");
  const call = ["kubectl", "--kubeconfig", file, "--request-timeout=20s", ...words];
  return run(["env", ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...call]);
}

async function onNode(pair: Pair, ...words: readonly string[]): Promise<string> {
  return onNodeWith(pair, {}, ...words);
}

function change(value: string): readonly string[] {
  const patch = JSON.stringify([{ op: "replace", path: targetPath, value }]);
  return ["patch", "device", "thermo-1", "--type=json", "-p", patch];
}

async function setOnNode(pair: Pair, value: string): Promise<void> {
  await onNode(pair, ...change(value));
}

async function setInCloud(pair: Pair, value: string): Promise<void> {
  await pair.kubectl(...change(value));
}

const shownTarget = ["get", "device", "thermo-1", "-o", "jsonpath={.spec.properties[2].desired.value}"];

/** Of a node whose API answers; the reason otherwise. */
async function targetOnNode(pair: Pair): Promise<string> {
  return onNode(pair, ...shownTarget).catch(String);
}

async function targetInCloud(pair: Pair): Promise<string> {
  return pair.kubectl(...shownTarget);
}

async function reported(pair: Pair): Promise<Record<string, string>> {
  const text = await onNode(pair, "get", "device", "thermo-1", "-o", "jsonpath={.status.twins}");
  const twins = JSON.parse(text) as { propertyName: string; reported?: { value: string } }[];
  return Object.fromEntries(
    twins.flatMap((one) => (one.reported ? [[one.propertyName, one.reported.value]] : [])),
  );
}

async function events(pair: Pair, reason: string): Promise<string> {
  const selector = `involvedObject.name=thermo-1,reason=${reason}`;
  return pair.kubectl("get", "events", "--field-selector", selector, "-o", "jsonpath={.items[*].message}");
}

function underWay(pair: Pair): number {
  return pair.rows("SELECT key FROM meta WHERE type = 'devicedesired'").length;
}

function mqttPort(pair: Pair): string {
  return /"listener":"mqtt","port":(\d+)/.exec(pair.edgeLog())?.[1] ?? "";
}

interface Deltas extends AsyncDisposable {
  /** The targets that the device was told, in order. */
  seen(): string[];
  see(value: string): Promise<void>;
}

/** What the device receives. */
async function followDeltas(pair: Pair): Promise<Deltas> {
  const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort(pair)}`, { reconnectPeriod: 0 });
  const seen: string[] = [];
  client.on("message", (_topic, payload) => {
    const { delta } = JSON.parse(payload.toString()) as { delta: Record<string, string> };
    if (delta["target"] !== undefined) seen.push(delta["target"]);
  });
  await client.subscribeAsync(topic("update/delta"), { qos: 1 });
  return {
    seen: () => seen,
    see: (value) => until(10_000, () => seen.at(-1) === value || `the device was told ${seen.join(", ")}`),
    [Symbol.asyncDispose]: () => client.endAsync(),
  };
}
