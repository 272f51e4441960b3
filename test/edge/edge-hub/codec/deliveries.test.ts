import { expect, test } from "bun:test";
import {
  cloudMessage,
  decodeAdoption,
  decodeObjectDelivery,
  decodeTwinDelivery,
  decodeUserDelivery,
} from "#edge/edge-hub/codec";
import { newMessage, type NewMessage } from "#shared/wire";

const pod = { metadata: { name: "web" } };
const stamp = { id: () => "m1", nowMs: () => 7 };

function message(parts: Partial<NewMessage>) {
  const base = {
    source: "edgecontroller",
    group: "resource",
    operation: "insert",
    resource: "",
    content: pod,
  };
  return cloudMessage(newMessage(stamp, { ...base, ...parts }));
}

const web = { type: "pod", namespace: "default", name: "web", object: pod };

test.each<[string, Partial<NewMessage>, unknown]>([
  ["a new object", {}, { ...web, operation: "create", fromController: true }],
  ["a deletion", { operation: "delete" }, { ...web, operation: "delete", fromController: true }],
  [
    "an object of an unknown source",
    { operation: "update", source: "router" },
    { ...web, operation: "update", fromController: false },
  ],
  [
    "an object as text",
    { content: JSON.stringify(pod) },
    { ...web, operation: "create", fromController: true },
  ],
  ["an object without metadata", { content: {} }, undefined],
  ["a text that is not JSON", { content: "{" }, undefined],
  ["an unknown operation", { operation: "query" }, undefined],
  ["a resource without a name", { resource: "default/pod" }, undefined],
])("codec reads %s for metamanager", (_name, parts, expected) => {
  expect(decodeObjectDelivery(message({ resource: "default/pod/web", ...parts }))).toEqual(expected as never);
});

const body = { added_devices: [] };

test.each<[string, Partial<NewMessage>, unknown]>([
  ["a change of membership", { resource: "membership" }, { kind: "membership", body }],
  ["all members", { resource: "membership/detail" }, { kind: "members", body }],
  ["attributes", { resource: "device/ns/lamp/updated" }, { kind: "attributes", device: "ns/lamp", body }],
  ["desired values", { resource: "device/lamp/twin/cloud_updated" }, { kind: "twins", device: "lamp", body }],
  [
    "a question for history",
    { resource: "device/lamp/history", operation: "query", content: { property: "t" } },
    { kind: "history", device: "lamp", question: { property: "t" } },
  ],
  ["a body as text", { resource: "membership", content: JSON.stringify(body) }, { kind: "membership", body }],
  ["a body that is none", { resource: "membership", content: "{" }, undefined],
  ["an unknown resource", { resource: "device/lamp/reboot" }, undefined],
])("codec reads %s for devicetwin", (_name, parts, expected) => {
  expect(decodeTwinDelivery(message({ operation: "update", content: body, ...parts }))).toEqual(
    expected as never,
  );
});

test.each<[string, Partial<NewMessage>, unknown]>([
  ["a text", { operation: "publish", content: "on" }, { operation: "publish", payload: Buffer.from("on") }],
  [
    "an object",
    { operation: "publish", content: { on: true } },
    { operation: "publish", payload: Buffer.from('{"on":true}') },
  ],
  ["a subscription", { operation: "subscribe" }, { operation: "subscribe" }],
  ["the end of one", { operation: "unsubscribe" }, { operation: "unsubscribe" }],
])("codec reads %s for eventbus", (_name, parts, expected) => {
  const command = decodeUserDelivery(message({ resource: "lamps/1", ...parts }));
  expect(command).toEqual({ topic: "lamps/1", ...(expected as object) } as never);
});

test("codec reads no command with an unknown operation", () => {
  expect(decodeUserDelivery(message({ resource: "lamps/1", operation: "erase" }))).toBeUndefined();
});

test("codec reads the adopted database, and none in other messages about the link", () => {
  const parts = { source: "cloudhub", group: "cloud", resource: "database", content: "db-2" };
  const read = ["adopt", "forget"].map((operation) => decodeAdoption(message({ ...parts, operation })));
  expect(read).toEqual(["db-2", undefined]);
});
