import { expect, test } from "bun:test";
import { isNodeLabel, judgeLabels } from "#cloud/edge-controller/node-authorization";

test.each([
  ["room", true],
  ["example.com/room", true],
  ["kubernetes.io/hostname", true],
  ["topology.kubernetes.io/zone", true],
  ["node-role.kubernetes.io/edge", true],
  ["kubelet.kubernetes.io/anything", true],
  ["sub.node.kubernetes.io/anything", true],
  ["node-role.kubernetes.io/control-plane", false],
  ["node-restriction.kubernetes.io/team", false],
  ["a.node-restriction.kubernetes.io/team", false],
  ["kubernetes.io/arch", true],
  ["k8s.io/x", false],
  ["x.k8s.io/y", false],
  ["notk8s.io/y", true],
])("whether a node may set %s: %p", (label, allowed) => {
  expect(isNodeLabel(label)).toBe(allowed);
});

test("labels that change are sorted into allowed and refused, the others left out", () => {
  const asked = {
    room: "hall",
    same: "1",
    count: 5,
    "node-role.kubernetes.io/control-plane": "",
    "k8s.io/x": "",
    __proto__: null,
  };
  expect(judgeLabels(asked, { same: "1", room: "kitchen" })).toEqual({
    allowed: { room: "hall" },
    refused: ["count", "k8s.io/x", "node-role.kubernetes.io/control-plane"],
  });
});

test("a label named __proto__ is a label like others", () => {
  const asked = JSON.parse('{"__proto__":"x"}') as Record<string, unknown>;
  const { allowed } = judgeLabels(asked);
  expect(Object.entries(allowed)).toEqual([["__proto__", "x"]]);
});
