import { expect, test } from "bun:test";
import type { JsonObject } from "#shared/json";
import {
  change,
  container,
  create,
  pod,
  refusal,
  typed,
} from "#internal/test/cloud/kube-api/kinds/admitted.ts";

test.each([
  [
    pod({
      containers: [container],
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "Gt", values: ["1", "2"] }] }],
          },
        },
        podAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 101, podAffinityTerm: {} }],
        },
      },
    }),
    [
      "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified single value when `operator` is 'Lt' or 'Gt'",
      "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
      "spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Required value: can not be empty",
    ],
  ],
  [
    pod({
      containers: [container],
      topologySpreadConstraints: [
        { maxSkew: 0, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway", minDomains: 2 },
        { maxSkew: 1, topologyKey: "zone", whenUnsatisfiable: "ScheduleAnyway" },
      ],
    }),
    [
      "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
      "spec.topologySpreadConstraints[0].minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway",
      'spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, ScheduleAnyway}"',
    ],
  ],
  [
    pod({ containers: [container], nodeName: "edge-1", schedulingGates: [{ name: "a" }, { name: "a" }] }),
    [
      'spec.schedulingGates[1]: Duplicate value: "a"',
      "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
    ],
  ],
] as [JsonObject, string[]][])("a new pod is refused with its causes: %j", (body, causes) => {
  expect(refusal(create("v1", "Pod", body))).toEqual(causes);
});

const gatedPod = (spec: JsonObject = {}): JsonObject =>
  typed(
    "v1",
    "Pod",
    pod({ containers: [container], schedulingGates: [{ name: "a" }, { name: "b" }], ...spec }),
  );
const gates = "spec.schedulingGates";
const affinityTo = (...values: string[]): JsonObject => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [
        { matchExpressions: values.map((value) => ({ key: "disk", operator: "In", values: [value] })) },
      ],
    },
  },
});

test("a gated pod that is new says by its condition why it waits", () => {
  expect(gatedPod().status).toMatchObject({
    conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }],
  });
});

test.each([
  ["removes gates", {}, { schedulingGates: [{ name: "b" }] }, []],
  ["adds a gate", {}, { schedulingGates: [{ name: "a" }, { name: "b" }, { name: "c" }] }, [gates]],
  ["replaces a gate", {}, { schedulingGates: [{ name: "c" }] }, [gates]],
  ["adds to the node selector", { nodeSelector: { a: "b" } }, { nodeSelector: { a: "b", c: "d" } }, []],
  [
    "changes the node selector",
    { nodeSelector: { a: "b" } },
    { nodeSelector: { a: "c" } },
    ["spec.nodeSelector"],
  ],
  ["requires nodes where it required none", {}, { affinity: affinityTo("ssd") }, []],
  ["requires more of nodes", { affinity: affinityTo("ssd") }, { affinity: affinityTo("ssd", "fast") }, []],
  [
    "requires other nodes",
    { affinity: affinityTo("ssd") },
    { affinity: affinityTo("hdd") },
    ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"],
  ],
  ["requires other pods", {}, { affinity: { podAffinity: {} }, priority: 7 }, ["spec"]],
] as [string, JsonObject, JsonObject, string[]][])(
  "an update of a gated pod that %s",
  (_what, before, after, fields) => {
    const outcome = change(gatedPod(before), (next) => Object.assign(next.spec as JsonObject, after));
    expect(outcome.ok ? [] : outcome.status.details?.causes?.map(({ field }) => field)).toEqual(fields);
  },
);

test("an update of the node selector of a pod without gates is refused", () => {
  const object = typed("v1", "Pod", pod({ containers: [container] }));
  expect(change(object, (next) => ((next.spec as JsonObject).nodeSelector = { a: "b" })).ok).toBe(false);
});
