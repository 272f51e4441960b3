import deviceCrd from "#conf/crds/devices_v1beta1_device.yaml" with { type: "text" };
import deviceModelCrd from "#conf/crds/devices_v1beta1_devicemodel.yaml" with { type: "text" };
import { expect, test } from "bun:test";
import { join } from "node:path";
import { admitDevices } from "#cloud/device-controller";
import { createKubeClient, resources } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { Device } from "#shared/kube";
import type { DiscoveredDevice } from "#shared/topics";
import { readAnnouncement } from "#internal/edge/device-twin/discovery/announcement.ts";
import { offeredObjects } from "#internal/edge/device-twin/discovery/offered-objects.ts";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { DiscoveredDevices, readDiscovered } from "#internal/cloud/device-controller/discovered/index.ts";

async function serveDevices(server: TestServer): Promise<void> {
  for (const crd of [deviceCrd, deviceModelCrd])
    await server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Bun.YAML.parse(crd));
  for (const plural of ["devices", "devicemodels"])
    while ((await server.call("GET", `/apis/devices.kubeedge.io/v1beta1/${plural}`)).status !== 200)
      await Bun.sleep(5);
}

function offer(...entities: readonly string[]): Pick<DiscoveredDevice, "device" | "model"> {
  const found = entities.flatMap((name) => {
    const body = {
      "~": "plug",
      stat_t: "~/s",
      cmd_t: "~/set",
      val_tpl: `{{ value_json.${name} | float / 10 }}`,
    };
    const topic = `homeassistant/number/plug/${name}/config`;
    const announcement = readAnnouncement(
      "homeassistant",
      topic,
      Buffer.from(JSON.stringify({ min: 0, max: 50, ...body })),
    );
    if (announcement?.kind !== "properties") throw new Error(JSON.stringify(announcement));
    return announcement.found;
  });
  return JSON.parse(JSON.stringify(offeredObjects(found, "edge-1"))) as Pick<
    DiscoveredDevice,
    "device" | "model"
  >;
}

test("the embedded API takes what a node discovers beside what users change", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path, { admit: admitDevices });
  await serveDevices(server);
  const path = join(dir.path, "kubeconfig");
  await server.api.writeKubeconfig(path);
  const deps = { clock: systemClock, log: silentLog() };
  await using kube = await createKubeClient({ from: "kubeconfig", path }, deps);
  const { devices, deviceModels: models } = resources;
  await using discovered = new DiscoveredDevices({ kube, devices, models, ...deps });
  const take = (...entities: readonly string[]): Promise<void> => {
    const found = readDiscovered({ node: "edge-1", ...offer(...entities) });
    return new Promise((resolve) => found && discovered.submit(found, resolve));
  };
  const at = { name: "plug", namespace: "default" };
  const wish = [{ op: "add", path: "/spec/properties/0/desired", value: { value: "21" } }];

  await take("a");
  await Promise.all([take("a", "b"), kube.patch(devices, at, wish, { type: "json" }), take("a", "b", "c")]);
  await take("c", "d");
  const device = await kube.get<Device>(devices, at);
  expect(device.spec?.properties?.map(({ name, desired }) => [name, desired?.value])).toEqual([
    ["a", "21"],
    ["b", undefined],
    ["c", undefined],
    ["d", undefined],
  ]);
});
