import { expect, test } from "bun:test";
import type { JsonObject } from "#shared/json";
import { change, container, refusal, typed } from "./admitted.ts";

/* Objects that were stored before there was a rule against them, and what may be done with them. */

const rbac = "rbac.authorization.k8s.io";
const metadata = { name: "o", finalizers: ["foregroundDeletion"] };
const longSchedule = `${"0,".repeat(2050)}0 * * * *`;
const cronJob = {
  schedule: "0 * * * *",
  jobTemplate: { spec: { template: { spec: { containers: [container], restartPolicy: "Never" } } } },
};

/** An object as `made` by today's rules, with what they refuse. */
function before(object: JsonObject, field: string, value: JsonObject): JsonObject {
  return { ...object, [field]: { ...(object[field] as JsonObject), ...value } };
}

const binding = before(
  typed(`${rbac}/v1`, "ClusterRoleBinding", {
    metadata,
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "r" },
  }),
  "roleRef",
  { kind: "Role" },
);
const scheduled = before(typed("batch/v1", "CronJob", { metadata, spec: cronJob }), "spec", {
  schedule: longSchedule,
});
const ranged = before(typed("v1", "Node", { metadata }), "spec", { podCIDR: "x", podCIDRs: ["x"] });
const map = before(typed("v1", "ConfigMap", { metadata }), "data", { a: "x".repeat(1_100_000) });

test.each<[string, JsonObject]>([
  ["ClusterRoleBinding of a Role", binding],
  ["CronJob with a long schedule", scheduled],
  ["Node with a range that is none", ranged],
  ["ConfigMap that is too large", map],
])("a %s loses its finalizers and gets labels", (_what, object) => {
  const outcome = change(object, (next) => {
    next.metadata = { ...(object.metadata as JsonObject), finalizers: [], labels: { a: "b" } };
  });
  expect(refusal(outcome)).toEqual([]);
  expect(outcome).toMatchObject({ ok: true, value: { metadata: { finalizers: [], labels: { a: "b" } } } });
});

test("a status is written beside another field that is wrong", () => {
  const object = before(typed("v1", "Node", { metadata }), "status", {
    capacity: { cpu: "-1" },
    allocatable: { cpu: "1" },
  });
  const edit = (status: JsonObject) => (next: JsonObject) => {
    next.status = { ...(next.status as JsonObject), ...status };
  };
  expect(refusal(change(object, edit({ phase: "Running" }), "status"))).toEqual([]);
  expect(refusal(change(object, edit({ capacity: { cpu: "-2" } }), "status"))).toHaveLength(1);
});

test.each<[string, JsonObject, JsonObject, string]>([
  [
    "schedule that is as long",
    scheduled,
    { schedule: longSchedule.replace("0", "1") },
    "spec.schedule: Too long: must have at most 4096 bytes",
  ],
  [
    "fault beside",
    scheduled,
    { concurrencyPolicy: "x" },
    'spec.concurrencyPolicy: Unsupported value: "x": supported values: "Allow", "Forbid", "Replace"',
  ],
])("a new %s is refused", (_what, object, spec, message) => {
  const outcome = change(object, (next) => {
    next.spec = { ...(next.spec as JsonObject), ...spec };
  });
  expect(refusal(outcome)).toEqual([message]);
});

test("values that are too large may not change", () => {
  const outcome = change(map, (next) => {
    next.data = { a: "y".repeat(1_100_000) };
  });
  expect(refusal(outcome)).toHaveLength(1);
});
