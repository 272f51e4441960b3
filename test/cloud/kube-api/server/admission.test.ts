import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import deviceCrd from "#conf/crds/devices_v1beta1_device.yaml" with { type: "text" };
import deviceModelCrd from "#conf/crds/devices_v1beta1_devicemodel.yaml" with { type: "text" };
import { admitDevices } from "#cloud/device-controller";
import type { KubeObject } from "#shared/kube";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needsCommands } from "#internal/test/support/needs.ts";

const apiVersion = "devices.kubeedge.io/v1beta1";
const devices = `/apis/${apiVersion}/namespaces/default/devices`;
const models = `/apis/${apiVersion}/namespaces/default/devicemodels`;
const model = {
  apiVersion,
  kind: "DeviceModel",
  metadata: { name: "thermostat" },
  spec: {
    protocol: "mqtt",
    properties: [
      { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", minimum: "5", maximum: "35" },
    ],
  },
};

function device(name: string, property: object, modelName = "thermostat"): object {
  const spec = { deviceModelRef: { name: modelName }, nodeName: "edge-1", properties: [property] };
  return { apiVersion, kind: "Device", metadata: { name, namespace: "default" }, spec };
}

const wrong: [string, { name: string; desired?: object }, string, string][] = [
  ["an unknown property", { name: "speed" }, "spec.properties[0].name", "no such property"],
  [
    "a wrong type",
    { name: "target", desired: { value: "hot" } },
    "spec.properties[0].desired.value",
    "a number",
  ],
  [
    "out of range",
    { name: "target", desired: { value: "99" } },
    "spec.properties[0].desired.value",
    "at most 35",
  ],
  ["read only", { name: "temperature", desired: { value: "1" } }, "spec.properties[0].desired", "read only"],
];

describe("admission of devices", () => {
  const dir = tempDir("admission");
  const kubeconfig = join(dir.path, "kubeconfig");
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer(dir.path, { admit: admitDevices });
    await server.api.ensureObjects(
      [deviceModelCrd, deviceCrd].map((text) => Bun.YAML.parse(text) as KubeObject),
    );
    server.api.writeKubeconfig(kubeconfig);
    await server.call("POST", models, model);
    await server.call("POST", devices, device("good", { name: "target", desired: { value: "21" } }));
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  async function kubectl(words: readonly string[], input = ""): Promise<{ code: number; text: string }> {
    const child = Bun.spawn(["kubectl", "--kubeconfig", kubeconfig, ...words], {
      env: { ...process.env, HOME: dir.path },
      stdin: new Blob([input]),
      stdout: "pipe",
      stderr: "pipe",
    });
    const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
    return { text: (await Promise.all(texts)).join(""), code: await child.exited };
  }

  test.each(wrong)("refuses %s at creation", async (_what, property, field, detail) => {
    const { status, body } = await server.call("POST", devices, device("bad", property));
    expect(status).toBe(422);
    expect(body).toMatchObject({
      kind: "Status",
      reason: "Invalid",
      details: { kind: "Device", name: "bad" },
    });
    expect(body["details"]?.["causes"]).toMatchObject([{ field, message: expect.stringContaining(detail) }]);
    expect((await server.call("GET", `${devices}/bad`)).status).toBe(404);
  });

  test.each(wrong)("refuses %s in PUT, merge patch and apply", async (_what, property, field) => {
    const { body: current } = await server.call("GET", `${devices}/good`);
    const next = { ...device("good", property), metadata: current["metadata"] };
    const put = await server.call("PUT", `${devices}/good`, next);
    expect([put.status, put.body["details"]?.["causes"]?.["0"]?.["field"] as unknown]).toEqual([422, field]);
    for (const type of ["application/merge-patch+json", "application/apply-patch+yaml"]) {
      // An apply adds the property to those that are there, by its name.
      const isAdded = type.includes("apply") && property.name !== "target";
      const query = type.includes("apply") ? "?fieldManager=test&force=true" : "";
      const patch = await server.call("PATCH", `${devices}/good${query}`, device("good", property), {
        "content-type": type,
      });
      expect([patch.status, patch.body["details"]?.["causes"]?.["0"]?.["field"] as unknown]).toEqual([
        422,
        isAdded ? field.replace("[0]", "[1]") : field,
      ]);
    }
  });

  test("accepts a device before its model, and labels of a device that no longer matches its model", async () => {
    const early = device("early", { name: "speed", desired: { value: "3" } }, "later");
    expect((await server.call("POST", devices, early)).status).toBe(201);
    expect((await server.call("POST", models, { ...model, metadata: { name: "later" } })).status).toBe(201);
    const type = { "content-type": "application/merge-patch+json" };
    const label = { metadata: { labels: { seen: "yes" } } };
    expect((await server.call("PATCH", `${devices}/early`, label, type)).status).toBe(200);
    const move = { spec: { nodeName: "edge-2" } };
    expect((await server.call("PATCH", `${devices}/early`, move, type)).status).toBe(422);
  });

  test("refuses an invalid model", async () => {
    const properties = [{ name: "t", type: "INT", minimum: "9", maximum: "1" }];
    const { status, body } = await server.call("POST", models, {
      ...model,
      metadata: { name: "odd" },
      spec: { properties },
    });
    expect(status).toBe(422);
    expect(body["details"]?.["causes"]).toMatchObject([{ field: "spec.properties[0].minimum" }]);
  });

  test.skipIf(!needsCommands("kubectl")).each(wrong)(
    "kubectl prints field and problem: %s",
    async (_what, property, field, detail) => {
      const made = await kubectl(["apply", "-f", "-"], JSON.stringify(device("from-kubectl", property)));
      const patch = JSON.stringify({ spec: { properties: [property] } });
      const changed = await kubectl(["patch", "device", "good", "--type=merge", "-p", patch]);
      for (const { code, text } of [made, changed]) {
        expect(code).toBe(1);
        expect(text).toContain("is invalid");
        expect(text).toContain(field);
        expect(text).toContain(detail);
      }
    },
  );
});
