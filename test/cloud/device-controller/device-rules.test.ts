import { expect, test } from "bun:test";
import { validateDevice, validateDeviceModel, type Device, type DeviceModel } from "#shared/kube";

const model: DeviceModel = {
  metadata: { name: "m", namespace: "default" },
  spec: {
    properties: [
      { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", minimum: "5", maximum: "35" },
      { name: "power", type: "BOOLEAN", accessMode: "ReadWrite" },
    ],
  },
};

const wants = (name: string, value: string): Device => ({
  metadata: { name: "d", namespace: "default" },
  spec: { deviceModelRef: { name: "m" }, properties: [{ name, desired: { value } }] },
});

test.each([
  ["nosuch", "1", "spec.properties[0].name"],
  ["temperature", "1", "spec.properties[0].desired"],
  ["target", "warm", "spec.properties[0].desired.value"],
  ["target", "1e400", "spec.properties[0].desired.value"],
  ["target", "36", "spec.properties[0].desired.value"],
  ["target", "4.9", "spec.properties[0].desired.value"],
  ["power", "on", "spec.properties[0].desired.value"],
])("a device that wants %s to be %s is refused at %s", (name, value, field) => {
  expect(validateDevice(wants(name, value), model).map((cause) => cause.field)).toEqual([field]);
});

test("a device within its model is accepted", () => {
  expect(validateDevice(wants("target", "21.5"), model)).toEqual([]);
});

test("a device may come before its model", () => {
  expect(validateDevice(wants("target", "1"), undefined)).toEqual([]);
});

test("a model with a property twice and a turned range is refused", () => {
  const properties = [{ name: "a", minimum: "5", maximum: "1" }, { name: "a" }];
  const found = validateDeviceModel({ metadata: {}, spec: { properties } });
  expect(found.map(({ field }) => field)).toEqual(["spec.properties[0].minimum", "spec.properties[1].name"]);
});

test.each(["Edge 1", "edge_1", "a/b", "-edge", "e".repeat(254)])(
  "a device on node %p is refused",
  (nodeName) => {
    const found = validateDevice({ metadata: { name: "d" }, spec: { nodeName } }, undefined);
    expect(found.map(({ field }) => field)).toEqual(["spec.nodeName"]);
  },
);

test.each(["", "edge-1", "edge-1.example.com"])("a device on node %p is accepted", (nodeName) => {
  expect(validateDevice({ metadata: { name: "d" }, spec: { nodeName } }, undefined)).toEqual([]);
});
