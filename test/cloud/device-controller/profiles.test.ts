import { describe, expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { ConfigMap, Device, DeviceModel } from "#shared/kube";
import { startCloud, type Cloud } from "./harness.ts";

const devicesType = {
  group: "devices.kubeedge.io",
  version: "v1beta1",
  namespaced: true,
  plural: "devices",
  kind: "Device",
};
const modelsType = { ...devicesType, plural: "devicemodels", kind: "DeviceModel" };
const target = { namespace: "default", name: "device-profile-config-edge-1" };

const boiler: DeviceModel = {
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "DeviceModel",
  metadata: { name: "boiler", namespace: "default" },
  spec: {
    properties: [
      { name: "level", type: "INT", accessMode: "ReadWrite", minimum: "0", maximum: "9", unit: "l" },
    ],
  },
};

const device = (name: string, protocol = "modbus"): Device => ({
  apiVersion: "devices.kubeedge.io/v1beta1",
  kind: "Device",
  metadata: { name, namespace: "default" },
  spec: {
    deviceModelRef: { name: "boiler" },
    nodeName: "edge-1",
    protocol: {
      protocolName: protocol,
      configData: { slaveID: 3, ip: "10.0.0.9", port: 502, room: "cellar" },
    },
    properties: [
      {
        name: "level",
        desired: { value: "4" },
        collectCycle: 500,
        visitors: { protocolName: protocol, configData: { register: "HoldingRegister", offset: 2 } },
      },
    ],
  },
});

async function profile({ kube, clock }: Cloud): Promise<unknown> {
  const found = await clock.until(kube.find<ConfigMap>(resources.configMaps, target));
  return found && JSON.parse(found.data?.["deviceProfile.json"] ?? "");
}

const on = { deviceProfiles: true };

describe("the profile of a node", () => {
  test("has its Devices in the form of KubeEdge 1.12, and goes with the last of them", async () => {
    await using cloud = await startCloud(undefined, on);
    const { kube, clock } = cloud;
    await clock.until(kube.create(modelsType, boiler));
    await clock.until(kube.create(devicesType, device("boiler-1")));
    await clock.advance(2000);
    expect(await profile(cloud)).toEqual({
      deviceInstances: [
        {
          id: "boiler-1",
          name: "boiler-1",
          protocol: "modbus-boiler-1",
          model: "boiler",
          twins: [
            {
              propertyName: "level",
              desired: { value: "4", metadata: { type: "int" } },
              reported: { value: "" },
            },
          ],
          propertyVisitors: [
            {
              name: "level",
              propertyName: "level",
              modelName: "boiler",
              protocol: "modbus",
              collectCycle: 500,
              visitorConfig: { register: "HoldingRegister", offset: 2 },
            },
          ],
        },
      ],
      deviceModels: [
        {
          name: "boiler",
          properties: [
            { name: "level", dataType: "int", accessMode: "ReadWrite", minimum: 0, maximum: 9, unit: "l" },
          ],
        },
      ],
      protocols: [
        {
          name: "modbus-boiler-1",
          protocol: "modbus",
          protocolConfig: { slaveID: 3 },
          protocolCommonConfig: { tcp: { ip: "10.0.0.9", port: 502 }, customizedValues: { room: "cellar" } },
        },
      ],
    });
    await clock.until(kube.create(devicesType, device("pump", "canbus")));
    await clock.advance(2000);
    expect(await profile(cloud)).toMatchObject({
      protocols: [
        { name: "modbus-boiler-1" },
        { name: "customized-protocol-pump", protocol: "customized-protocol" },
      ],
    });
    for (const name of ["boiler-1", "pump"])
      await clock.until(kube.remove(devicesType, { namespace: "default", name }));
    await clock.advance(2000);
    expect(await profile(cloud)).toBeUndefined();
  });

  test("is removed when its devices went while cloudcore was down, and left alone when somebody else made it", async () => {
    const leftover = (name: string, labels?: Record<string, string>): ConfigMap => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: `device-profile-config-${name}`, namespace: "default", ...(labels && { labels }) },
      data: { "deviceProfile.json": "{}" },
    });
    const prepare: Parameters<typeof startCloud>[0] = (kube) => {
      void kube.create(
        resources.configMaps,
        leftover("edge-7", { "devices.kubeedge.io/device-profile": "" }),
      );
      void kube.create(resources.configMaps, leftover("edge-1"));
    };
    await using cloud = await startCloud(prepare, on);
    const { kube, clock } = cloud;
    await clock.until(kube.create(modelsType, boiler));
    await clock.until(kube.create(devicesType, device("boiler-1")));
    await clock.advance(3000);
    const gone = kube.find(resources.configMaps, {
      namespace: "default",
      name: "device-profile-config-edge-7",
    });
    expect(await clock.until(gone)).toBeUndefined();
    expect(await profile(cloud)).toEqual({});
  });

  test("is not made unless it is enabled", async () => {
    await using cloud = await startCloud();
    await cloud.clock.until(cloud.kube.create(modelsType, boiler));
    await cloud.clock.until(cloud.kube.create(devicesType, device("boiler-1")));
    await cloud.clock.advance(3000);
    expect(await profile(cloud)).toBeUndefined();
  });
});
