import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connectAsync, type MqttClient } from "mqtt";
import { hasPair, startPair, until, type Pair } from "#internal/test/support/pair.ts";
import { inOrder } from "#internal/test/support/in-order.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";

function device(name: string, nodeName: string, configData: object): object {
  return {
    apiVersion,
    kind: "Device",
    metadata: { name, namespace: "default" },
    spec: {
      deviceModelRef: { name: "plain" },
      nodeName,
      protocol: { protocolName: "mqtt", configData: {} },
      properties: [{ name: "value", visitors: { protocolName: "mqtt", configData } }],
    },
  };
}

const model = {
  apiVersion,
  kind: "DeviceModel",
  metadata: { name: "plain", namespace: "default" },
  spec: { protocol: "mqtt", properties: [{ name: "value", type: "STRING", accessMode: "ReadWrite" }] },
};

function rule(nodeName: string): object {
  return {
    apiVersion: "rules.kubeedge.io/v1alpha1",
    kind: "DeviceRule",
    metadata: { name: "heat", namespace: "default" },
    spec: {
      nodeName,
      when: [{ device: "thermo", property: "value", expression: "value < 19", until: "value > 21" }],
      then: [{ set: { device: "heater", property: "value", value: "on" } }],
      otherwise: [{ set: { device: "heater", property: "value", value: "off" } }],
    },
  };
}

function portOf(pair: Pair): number {
  const said = [...pair.edgeLog().matchAll(/"listener":"mqtt","port":(\d+)/g)].at(-1);
  if (!said) throw new Error("edgecore does not listen yet");
  return Number(said[1]);
}

/** A client in the place of both devices, with the commands that come. */
async function join(pair: Pair): Promise<{ readonly client: MqttClient; readonly commands: string[] }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${portOf(pair)}`, { reconnectPeriod: 0 });
  client.on("error", () => undefined);
  const commands: string[] = [];
  client.on("message", (_, payload) => void commands.push(payload.toString()));
  await client.subscribeAsync("heater/set", { qos: 1 });
  return { client, commands };
}

const report = (client: MqttClient, value: string): Promise<unknown> =>
  client.publishAsync("thermo/temp", value, { qos: 1 });

describe.skipIf(!hasPair())("a DeviceRule", () => {
  const { step, run } = inOrder();
  let pair: Pair;

  beforeAll(async () => {
    pair = await startPair();
    await pair.apply(model);
    await pair.apply(device("thermo", pair.node, { topic: "thermo/temp" }));
    await pair.apply(device("heater", pair.node, { topic: "heater/state", setTopic: "heater/set" }));
    await pair.apply(rule(pair.node));
    await until(20_000, async () => {
      const state = await pair.kubectl("get", "devicerule", "heat", "-o", "jsonpath={.status.state}");
      return state === "Waiting" || `the rule is ${state}`;
    });
  }, 60_000);

  afterAll(() => pair?.[Symbol.asyncDispose]());

  step("switches a device, and its counters are in its status", async () => {
    const { client, commands } = await join(pair);
    await report(client, "18");
    await until(5000, () => commands.join(" ") === "on" || `got ${commands.join(" ")}`);
    await until(15_000, async () => {
      const text = await pair.kubectl("get", "devicerule", "heat");
      return /heat\s+\S+\s+Active\s+true\s+1/.test(text) || text;
    });
    await client.endAsync();
  });

  step("works without a link, and after kill -9 runs for what has changed only", async () => {
    pair.link.cut({ refuse: true });
    await pair.killEdge();
    await pair.startEdge();
    await until(20_000, async () => {
      try {
        const { client } = await join(pair);
        await client.endAsync();
        return true;
      } catch (error) {
        return String(error);
      }
    });
    const { client, commands } = await join(pair);
    await report(client, "20");
    await report(client, "22");
    await until(5000, () => commands.includes("off") || `got ${commands.join(" ")}`);
    expect(commands).toEqual(["off"]);
    await client.endAsync();
    pair.link.restore();
    await until(40_000, async () => {
      const [runs, desired] = await Promise.all([
        pair.kubectl("get", "devicerule", "heat", "-o", "jsonpath={.status.runs}"),
        pair.kubectl("get", "device", "heater", "-o", "jsonpath={.spec.properties[0].desired.value}"),
      ]);
      return (runs === "2" && desired === "off") || `${runs} runs, desired is ${desired}`;
    });
  });

  step("is refused with the field that no node could run", async () => {
    const wrong = structuredClone(rule(pair.node)) as { spec: { when: { expression: string }[] } };
    const [condition] = wrong.spec.when;
    if (condition) condition.expression = "value <";
    await expect(pair.apply(wrong)).rejects.toThrow("spec.when[0].expression");
  });

  test("runs on its node by itself", run, 120_000);
});
