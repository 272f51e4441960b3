import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import deviceCrd from "#conf/crds/devices_v1beta1_device.yaml" with { type: "text" };
import deviceModelCrd from "#conf/crds/devices_v1beta1_devicemodel.yaml" with { type: "text" };
import { admitDevices } from "#cloud/device-controller";
import type { KubeObject } from "#shared/kube";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needsCommands } from "#internal/test/support/needs.ts";

const available = needsCommands("kubectl");
if (!available) console.log("kubectl is not installed: its view of devices is not tried");

function device(name: string, spec: object): string {
  const apiVersion = "devices.kubeedge.io/v1beta1";
  return JSON.stringify({ apiVersion, kind: "Device", metadata: { name }, spec });
}

function model(name: string, properties: object[], protocol?: string): string {
  const apiVersion = "devices.kubeedge.io/v1beta1";
  const spec = { ...(protocol ? { protocol } : {}), properties };
  return JSON.stringify({ apiVersion, kind: "DeviceModel", metadata: { name }, spec });
}

const mqtt = (name: string, configData: object): object => ({
  name,
  visitors: { protocolName: "mqtt", configData },
});

const at = "spec.properties[0].visitors.configData";
const refused: readonly [string, string, string][] = [
  [
    "a topic filter of a device",
    device("bad", { protocol: { protocolName: "mqtt" }, properties: [mqtt("a", { topic: "x/#/y" })] }),
    `${at}.topic: Invalid value: "x/#/y": must be an MQTT topic filter`,
  ],
  [
    "an expression of a device",
    device("bad", {
      protocol: { protocolName: "mqtt" },
      properties: [mqtt("a", { topic: "t", expression: "value +" })],
    }),
    `${at}.expression: Invalid value: "value +": must be an expression`,
  ],
  [
    "a topic for the state of a device",
    device("bad", { protocol: { protocolName: "mqtt", configData: { stateTopic: "$hw/x" } } }),
    'spec.protocol.configData.stateTopic: Invalid value: "$hw/x": must not start with $',
  ],
  [
    "a path of a model",
    model("bad", [mqtt("a", { path: "$..a" })]),
    `${at}.path: Invalid value: "$..a": must be a path such as`,
  ],
  [
    "a topic to tell to of a model",
    model("bad", [{ name: "a", visitors: { configData: { setTopic: "a/+" } } }], "mqtt"),
    `${at}.setTopic: Invalid value: "a/+": must be an MQTT topic without wildcards`,
  ],
  [
    "a device whose model did not say that it is for MQTT",
    device("bad", { deviceModelRef: { name: "unsaid" }, protocol: { protocolName: "mqtt" } }),
    `spec.deviceModelRef.name: Invalid value: "unsaid": its ${at}.topic is 5: must be a text`,
  ],
];

describe.skipIf(!available)("devices with kubectl", () => {
  const dir = tempDir("kubectl-devices");
  const kubeconfig = join(dir.path, "kubeconfig");
  let server: TestServer;

  async function kubectl(words: string, input = ""): Promise<string> {
    const child = Bun.spawn(["kubectl", "--kubeconfig", kubeconfig, ...words.split(" ")], {
      env: { ...process.env, HOME: dir.path },
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
    return (await Promise.all(texts)).join("").trim();
  }

  beforeAll(async () => {
    server = await startTestServer(dir.path, { admit: admitDevices });
    await server.api.ensureObjects(
      [deviceModelCrd, deviceCrd].map((text) => Bun.YAML.parse(text) as KubeObject),
    );
    server.api.writeKubeconfig(kubeconfig);
    await kubectl(`apply -f ${join(import.meta.dir, "../../../conf/samples/devices.yaml")}`);
    await kubectl("apply -f -", model("unsaid", [{ name: "a", visitors: { configData: { topic: 5 } } }]));
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  test.each(refused)("refuses %s that no node can use, with its path", async (_, object, problem) => {
    expect(await kubectl("apply -f -", object)).toContain(problem);
  });

  test("get shows the node and the state, with -o wide the model and the protocol too", async () => {
    const status = {
      state: "online",
      lastOnlineTime: "2020-01-01T00:00:00Z",
      reportedTime: "2020-01-01T00:00:00Z",
    };
    await server.call(
      "PATCH",
      "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices/thermo-1/status",
      { status },
      { "content-type": "application/merge-patch+json" },
    );
    const rows = async (words: string): Promise<string[][]> =>
      (await kubectl(words)).split("\n").map((line) => line.split(/\s{2,}/));
    const [head, plug, thermo] = await rows("get devices");
    expect(head).toEqual(["NAME", "NODE", "STATUS", "REPORTED", "BEHIND", "AGE"]);
    expect(plug?.slice(0, 2)).toEqual(["plug-1", "edge-1"]);
    expect(thermo?.slice(0, 3)).toEqual(["thermo-1", "edge-1", "online"]);
    const [wideHead, , wide] = await rows("get devices -o wide");
    expect(wideHead?.slice(6)).toEqual(["MODEL", "PROTOCOL", "LAST ONLINE"]);
    expect(wide?.slice(5, 7)).toEqual(["thermostat", "mqtt"]);
  });

  test.each(["device.spec.properties", "device.status.twins", "devicemodel.spec.properties"])(
    "explain describes %s and every field in it",
    async (path) => {
      const text = await kubectl(`explain ${path}`);
      expect(text).toContain("FIELDS:");
      expect(text).not.toContain("<empty>");
      expect(text).not.toContain("<no description>");
    },
  );

  test("a model can be changed and deleted whatever its devices want; a device is judged when it changes", async () => {
    const wants = (value: string): string =>
      device("d", {
        deviceModelRef: { name: "narrowing" },
        properties: [{ name: "n", desired: { value } }],
      });
    const narrowed = (maximum: string): string => model("narrowing", [{ name: "n", type: "INT", maximum }]);
    await kubectl("apply -f -", narrowed("10"));
    await kubectl("apply -f -", wants("7"));
    expect(await kubectl("apply -f -", narrowed("5"))).toContain("configured");
    expect(await kubectl("label device d a=b")).toContain("labeled");
    expect(await kubectl("apply -f -", wants("8"))).toContain("must be at most 5");
    expect(await kubectl("apply -f -", wants("4"))).toContain("configured");
    expect(await kubectl("delete devicemodel narrowing")).toContain("deleted");
    expect(await kubectl("apply -f -", wants("8"))).toContain("configured");
    await kubectl("delete device d");
  });
});
