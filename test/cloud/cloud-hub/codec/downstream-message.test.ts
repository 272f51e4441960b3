import { expect, test } from "bun:test";
import { needsAck } from "#internal/cloud/cloud-hub/codec/downstream-message.ts";
import { newMessage, type WireMessage } from "#shared/wire";

function message(resource: string, more: { operation?: string; source?: string } = {}): WireMessage {
  const { operation = "update", source = "edgecontroller" } = more;
  const content = { metadata: { uid: "u", name: "n", namespace: "default", resourceVersion: "1" } };
  const stamp = { id: () => "m1", nowMs: () => 1 };
  return newMessage(stamp, { source, group: "resource", operation, resource, content });
}

test.each<[string, WireMessage, boolean]>([
  ["a pod, whatever its name", message("default/pod/membership-1"), true],
  ["a list of members", message("membership/detail"), false],
  ["a list of pods", message("default/podlist"), false],
  ["a ConfigMap, whatever its name", message("default/configmap/podlist"), true],
  ["a token", message("default/serviceaccounttoken/a"), false],
  ["a twin", message("device/d/twin/cloud_updated", { source: "devicecontroller" }), false],
  ["a status", message("default/podstatus/p"), false],
  ["a pod as an answer", message("default/pod/p", { operation: "response" }), false],
  ["a Secret as an answer", message("default/secret/s", { operation: "response" }), true],
  [
    "an answer without an object",
    { ...message("a/secret/s", { operation: "response" }), content: "OK" },
    false,
  ],
  [
    "a message of another group",
    { ...message("a/secret/s"), route: { group: "user", resource: "a/secret/s" } },
    false,
  ],
])("the node acknowledges %s: %#", (_, one, isAcked) => {
  expect(needsAck(one)).toBe(isAcked);
});
