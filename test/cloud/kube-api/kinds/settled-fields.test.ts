import { expect, test } from "bun:test";
import type { JsonObject } from "#shared/json";
import { change, refusal, typed } from "./admitted.ts";

const volume = (spec: JsonObject): JsonObject =>
  typed("v1", "PersistentVolume", {
    metadata: { name: "pv" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      ...spec,
    },
  });
const affinityTo = (value: string): JsonObject => ({
  required: {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "a", operator: "In", values: [value] }] }],
  },
});
const directory = { hostPath: { path: "/x" } };
const driver = { driver: "x.y", volumeHandle: "z" };
const secret = { name: "a", namespace: "b" };
const node = (spec: JsonObject): JsonObject => typed("v1", "Node", { metadata: { name: "n" }, spec });
const addressed = { podCIDR: "10.0.0.0/24", providerID: "a" };
const priority = typed("scheduling.k8s.io/v1", "PriorityClass", {
  metadata: { name: "pc" },
  value: 1,
});

const changed = (object: JsonObject, fields: JsonObject, within = "spec"): string[] =>
  refusal(
    change(object, (next) => {
      Object.assign(within === "" ? next : (next[within] as JsonObject), fields);
    }),
  ).map((line) => line.replace(/Invalid value: .*: field/, "Invalid value: …: field"));

// Causes and texts are those of a kube-apiserver 1.26 for the same changes, less the difference it prints of a source.
test.each<[string, JsonObject, JsonObject, string[]]>([
  [
    "the source of a volume",
    volume(directory),
    { hostPath: { path: "/z" } },
    ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"],
  ],
  [
    "the mode of a volume",
    volume(directory),
    { volumeMode: "Block" },
    ["volumeMode: Invalid value: …: field is immutable"],
  ],
  [
    "the nodes of a volume",
    volume({ local: { path: "/x" }, nodeAffinity: affinityTo("b") }),
    { nodeAffinity: affinityTo("c") },
    ["nodeAffinity: Invalid value: …: field is immutable"],
  ],
  [
    "the addresses of the pods of a node",
    node(addressed),
    { podCIDR: "10.1.0.0/24" },
    ['spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'],
  ],
  [
    "the provider of a node",
    node(addressed),
    { providerID: "z" },
    ['spec.providerID: Forbidden: node updates may not change providerID except from "" to valid'],
  ],
])("what was said stays: %s", (_name, object, fields, causes) => {
  expect(changed(object, fields)).toEqual(causes);
});

test("value and preemption policy of a priority class stay", () => {
  expect(changed(priority, { value: 2, preemptionPolicy: "Never" }, "")).toEqual([
    "value: Invalid value: …: field is immutable",
    "preemptionPolicy: Invalid value: …: field is immutable",
  ]);
});

test.each<[string, JsonObject, JsonObject]>([
  ["a volume grows", volume(directory), { capacity: { storage: "2Gi" } }],
  ["a volume is bound", volume(directory), { claimRef: { name: "x", namespace: "default" } }],
  ["the nodes of a volume are said later", volume(directory), { nodeAffinity: affinityTo("b") }],
  [
    "a volume of a driver gets the secret for growing",
    volume({ csi: driver }),
    { csi: { ...driver, controllerExpandSecretRef: secret } },
  ],
  ["a node gets addresses and a provider", node({}), { ...addressed, podCIDRs: ["10.0.0.0/24"] }],
  ["a node is cordoned", node(addressed), { unschedulable: true }],
])("what may change: %s", (_name, object, fields) => {
  expect(changed(object, fields)).toEqual([]);
});

test("the secret for growing, once said, stays", () => {
  const object = volume({
    csi: { ...driver, controllerExpandSecretRef: secret },
  });
  expect(changed(object, { csi: driver })).toHaveLength(1);
});
