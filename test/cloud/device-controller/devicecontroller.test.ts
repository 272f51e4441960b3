import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import type { DeliveredObject } from "#shared/topics";
import { device, model, startCloud } from "./harness.ts";

test("device controller sends membership, model and device when a device is bound", async () => {
  await using cloud = await startCloud();
  cloud.kube.put(resources.deviceModels, model);
  await cloud.clock.advance(1);
  cloud.kube.put(resources.devices, device("thermo-1", "edge-1"));
  cloud.kube.put(resources.devices, device("thermo-2", "edge-1"));
  await cloud.clock.advance(1);

  expect(cloud.texts()).toEqual([
    "edge-1 update membership",
    "edge-1 insert default/devicemodel/thermo-model",
    "edge-1 insert default/device/thermo-1",
    "edge-1 update membership",
    "edge-1 insert default/device/thermo-2",
  ]);
  expect(cloud.sent[0]?.message.content).toEqual({
    event_id: expect.any(String),
    timestamp: expect.any(Number),
    added_devices: [
      {
        id: "thermo-1",
        name: "thermo-1",
        description: "hall",
        namespace: "default",
        uid: cloud.kube.peek(resources.devices, "default/thermo-1")?.metadata.uid,
      },
    ],
    removed_devices: null,
  });
});

test("device controller takes a device from its node and gives it to the next when it is moved", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  cloud.kube.put(resources.devices, device("thermo-1", "edge-2"));
  await cloud.clock.advance(1);

  expect(cloud.texts().toSorted()).toEqual([
    "edge-1 delete default/device/thermo-1",
    "edge-1 delete default/devicemodel/thermo-model",
    "edge-1 update membership",
    "edge-2 insert default/device/thermo-1",
    "edge-2 insert default/devicemodel/thermo-model",
    "edge-2 update membership",
  ]);
});

test("device controller gives a node the next model before the Device, and takes the one before after it", async () => {
  await using cloud = await startCloud((kube) => {
    for (const name of ["thermo-model", "next"])
      kube.put(resources.deviceModels, { ...model, metadata: { name, namespace: "default" } });
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  await cloud.clock.advance(1);
  const { spec, ...rest } = device("thermo-1", "edge-1");
  cloud.kube.put(resources.devices, { ...rest, spec: { ...spec, deviceModelRef: { name: "next" } } });
  await cloud.clock.advance(1);
  expect(cloud.texts()).toEqual([
    "edge-1 insert default/devicemodel/next",
    "edge-1 update default/device/thermo-1",
    "edge-1 delete default/devicemodel/thermo-model",
  ]);
});

test("device controller sends nothing when only the status of a device changed", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  await cloud.say("device/thermo-1/twin/edge_updated", { twin: { target: { actual: { value: "20" } } } });

  expect(cloud.texts()).toEqual(["edge-1 response twin"]);
});

test("device controller repairs what a node missed when it connects", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.deviceModels, model);
    kube.put(resources.devices, device("thermo-1", "edge-1"));
  });
  const gone = { apiVersion: "devices.kubeedge.io/v1beta1", namespace: "default", uid: "old" };
  cloud.delivered.push({ ...gone, kind: "Device", name: "thermo-9", resourceVersion: "5" });
  await cloud.connect("edge-1");

  expect(cloud.texts()).toEqual([
    "edge-1 update membership",
    "edge-1 delete default/device/thermo-9",
    "edge-1 update membership",
    "edge-1 insert default/devicemodel/thermo-model",
    "edge-1 insert default/device/thermo-1",
  ]);
});

test("device controller sends a device again to a node that missed its removal", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  for (const node of ["edge-2", "edge-1"]) {
    cloud.kube.put(resources.devices, device("thermo-1", node));
    await cloud.clock.advance(1);
  }
  const [away, , back] = cloud.recorded;
  expect([away?.digest, back?.digest]).toEqual(["", ""]);
  expect(cloud.recorded.filter(({ digest }) => digest !== "")).toHaveLength(2);

  cloud.delivered.push({ ...(away as DeliveredObject), digest: "" });
  cloud.sent.length = 0;
  await cloud.connect("edge-1");
  expect(cloud.texts()).toEqual(["edge-1 update membership", "edge-1 update default/device/thermo-1"]);
});

test("device controller answers a node with its members", async () => {
  await using cloud = await startCloud(
    (kube) => void kube.put(resources.devices, device("thermo-1", "edge-1")),
  );
  await cloud.clock.advance(1);
  await cloud.say("membership/detail", "{}");
  expect(cloud.sent.at(-1)?.message.content).toMatchObject({
    devices: [{ id: "thermo-1", name: "thermo-1", description: "hall" }],
  });
});

test("device controller finds the node of a device", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.devices, device("thermo-1", "edge-1"));
    kube.put(resources.devices, device("loose", ""));
  });
  await cloud.clock.advance(1);
  expect(await Promise.all(["thermo-1", "loose", "none"].map((name) => cloud.find(name)))).toEqual([
    { node: "edge-1" },
    { node: undefined },
    undefined,
  ]);
});
