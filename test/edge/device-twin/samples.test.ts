import { expect, test } from "bun:test";
import { join } from "node:path";
import { validateDevice, validateDeviceModel, type Device, type DeviceModel } from "#shared/kube";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startHarness } from "./harness.ts";

const file = join(import.meta.dir, "../../../conf/samples/devices.yaml");

test("the shipped sample devices are valid and work", async () => {
  using dir = tempDir();
  const objects = Bun.YAML.parse(await Bun.file(file).text()) as (Device | DeviceModel)[];
  const models = objects.filter(({ kind }) => kind === "DeviceModel");
  const devices = objects.filter((object): object is Device => object.kind === "Device");
  expect(models.flatMap((model) => validateDeviceModel(model as DeviceModel))).toEqual([]);
  const modelOf = (device: Device): DeviceModel =>
    models.find(({ metadata }) => metadata.name === device.spec?.deviceModelRef?.name) as DeviceModel;
  expect(devices.flatMap((device) => validateDevice(device, modelOf(device)))).toEqual([]);

  await using node = await startHarness(dir.path);
  for (const object of [...models, ...devices]) await node.addDevice(object);
  await node.send("tele/plug-1/SENSOR", { ENERGY: { Power: 12.34 } });
  await node.send("tele/plug-1/LWT", "Online");
  const published = node.published.find(({ topic }) => topic === "cmnd/plug-1/POWER");
  expect(Buffer.from(published?.payload ?? []).toString()).toBe("ON");
  expect(node.outbox()).toMatchObject([
    { content: { twin: { target: { expected: { value: "21" } } } } },
    { content: { twin: { power: { actual: { value: "12.3" } }, relay: { expected: { value: "true" } } } } },
    { resource: "device/plug-1/state/update" },
  ]);
});
