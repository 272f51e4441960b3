import { expect, test } from "bun:test";
import { KubeError, resources } from "#cloud/kube-client";
import type { Device, DeviceModel } from "#shared/kube";
import type { DiscoveredDevice } from "#shared/topics";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient, type FakeCall } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { DiscoveredDevices, readDiscovered } from "#internal/cloud/device-controller/discovered/index.ts";

type Property = readonly [name: string, topic: string, type?: "FLOAT" | "BOOLEAN"];

type Announced = Pick<DiscoveredDevice, "device" | "model">;

function announcement(...properties: readonly Property[]): unknown {
  return {
    device: {
      metadata: { name: "plug" },
      spec: {
        properties: properties.map(([name, topic]) => ({ name, visitors: { configData: { topic } } })),
        protocol: { configData: { stateTopic: "plug/state" } },
      },
    },
    model: {
      spec: {
        properties: properties.map(([name, , type = "FLOAT"]) => ({ name, type, accessMode: "ReadWrite" })),
      },
    },
  };
}

class Cloud implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly kube = new FakeKubeClient({ clock: this.clock });
  readonly answered: number[] = [];
  readonly devices = new DiscoveredDevices({
    kube: this.kube,
    devices: resources.devices,
    models: resources.deviceModels,
    clock: this.clock,
    log: silentLog(),
  });
  #announced = 0;

  say(content: unknown, node = "edge-1"): void {
    const found = readDiscovered({ node, ...(content as Announced) });
    if (!found) throw new Error("unreadable announcement");
    const id = ++this.#announced;
    this.devices.submit(found, () => void this.answered.push(id));
  }

  async take(content: unknown, node?: string): Promise<void> {
    this.say(content, node);
    await this.clock.advance(1);
  }

  get device(): Device | undefined {
    return this.kube.peek<Device>(resources.devices, "default/plug");
  }

  get model(): DeviceModel | undefined {
    return this.kube.peek<DeviceModel>(resources.deviceModels, "default/plug");
  }

  get names(): readonly (readonly string[])[] {
    return [this.device, this.model].map((object) => object?.spec?.properties?.map(({ name }) => name) ?? []);
  }

  change(edit: (device: Device) => void): void {
    const device = structuredClone(this.device) ?? { metadata: {} };
    edit(device);
    this.kube.put(resources.devices, device);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.devices[Symbol.asyncDispose]();
  }
}

function desire(device: Device, name: string, value: string): void {
  const property = device.spec?.properties?.find((one) => one.name === name);
  if (property) property.desired = { value };
}

const isWrite = ({ verb }: FakeCall): boolean => verb === "patch" || verb === "create";

test("announcements that come at once are all in the Device before they are answered", async () => {
  await using cloud = new Cloud();
  const all: Property[] = [];
  for (const name of ["a", "b", "c", "d"]) {
    all.push([name, `plug/${name}`]);
    cloud.say(announcement(...all));
  }
  await cloud.clock.advance(1);
  expect(cloud.names).toEqual([
    ["a", "b", "c", "d"],
    ["a", "b", "c", "d"],
  ]);
  expect(new Set(cloud.answered)).toEqual(new Set([1, 2, 3, 4]));
});

test("announcements are answered only when the API has taken them", async () => {
  await using cloud = new Cloud();
  cloud.kube.fail(isWrite, new Error("away"), 2);
  await cloud.take(announcement(["a", "plug/a"]));
  expect(cloud.answered).toEqual([]);
  await cloud.clock.advance(2000);
  expect([cloud.answered, cloud.names[0]]).toEqual([[1], ["a"]]);
});

test("announcements the API will never take are answered, so that they do not come again", async () => {
  await using cloud = new Cloud();
  cloud.kube.fail(isWrite, new KubeError(422, "Invalid", "no"), 1);
  await cloud.take(announcement(["a", "plug/a"]));
  expect([cloud.answered, cloud.device]).toEqual([[1], undefined]);
});

test("an announcement after a start of the node keeps what users added and what was announced before", async () => {
  await using cloud = new Cloud();
  await cloud.take(announcement(["a", "plug/a"], ["b", "plug/b"]));
  cloud.change((device) => {
    desire(device, "a", "21");
    const visitors = device.spec?.properties?.[1]?.visitors;
    if (visitors?.configData)
      Object.assign(visitors.configData, { expression: "value * 2", setRetain: "false" });
    device.spec?.properties?.push({ name: "own" });
  });
  cloud.kube.calls.length = 0;
  await cloud.take(announcement(["b", "plug/b"]));
  expect(cloud.kube.calls.filter(isWrite)).toEqual([]);
  await cloud.take(announcement(["a", "plug/other"]));
  const config = (topic: string, more = {}): object => ({ visitors: { configData: { topic, ...more } } });
  expect(cloud.device?.spec?.properties).toEqual([
    { name: "a", desired: { value: "21" }, ...config("plug/other") },
    { name: "b", ...config("plug/b", { expression: "value * 2", setRetain: "false" }) },
    { name: "own" },
  ]);
});

test("a type that what the Device asks for contradicts stays in both objects until it is asked no more", async () => {
  await using cloud = new Cloud();
  await cloud.take(announcement(["a", "plug/a"], ["b", "plug/b"]));
  cloud.change((device) => desire(device, "a", "21"));
  const changed = announcement(["a", "plug/x", "BOOLEAN"], ["b", "plug/y"]);
  await cloud.take(changed);
  const shown = (): unknown => [
    cloud.model?.spec?.properties?.[0]?.type,
    ...(cloud.device?.spec?.properties ?? []).map(({ visitors }) => visitors?.configData?.["topic"]),
  ];
  expect(shown()).toEqual(["FLOAT", "plug/a", "plug/y"]);
  cloud.change((device) => desire(device, "a", ""));
  await cloud.take(changed);
  expect(shown()).toEqual(["BOOLEAN", "plug/x", "plug/y"]);
});

test("a change made between reading and writing is kept", async () => {
  await using cloud = new Cloud();
  await cloud.take(announcement(["a", "plug/a"]));
  let changed = false;
  const meddle = (call: FakeCall): boolean => {
    if (changed || call.verb !== "patch" || call.plural !== "devices") return false;
    changed = true;
    cloud.change((device) => desire(device, "a", "21"));
    return false;
  };
  cloud.kube.fail(meddle, new Error("never"));
  await cloud.take(announcement(["a", "plug/a"], ["b", "plug/b"]));
  await cloud.clock.advance(2000);
  expect(cloud.device?.spec?.properties?.[0]?.desired).toEqual({ value: "21" });
  expect(cloud.names[0]).toEqual(["a", "b"]);
});

test("a Device that a user created is not changed, and no model is created for it", async () => {
  await using cloud = new Cloud();
  const own = cloud.kube.put<Device>(resources.devices, { metadata: { name: "plug", namespace: "default" } });
  await cloud.take(announcement(["a", "plug/a"]));
  expect([cloud.device, cloud.model, cloud.answered]).toEqual([own, undefined, [1]]);
});

test("a Device that another node found is left alone", async () => {
  await using cloud = new Cloud();
  await cloud.take(announcement(["a", "plug/a"]));
  await cloud.take(announcement(["b", "plug/b"]), "edge-2");
  expect(cloud.names[0]).toEqual(["a"]);
});
