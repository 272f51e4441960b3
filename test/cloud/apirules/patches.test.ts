import { expect, test } from "bun:test";
import { jsonPatch, mergePatch, planDeletion, type DeleteOptions } from "#cloud/apirules";
import type { KubeObject } from "#shared/kube";

test.each([
  [{ a: "b" }, { a: "c" }, { a: "c" }],
  [{ a: "b" }, { a: null }, {}],
  [{ a: { b: 1, c: 2 } }, { a: { b: null } }, { a: { c: 2 } }],
  [{ a: [1] }, { a: [2] }, { a: [2] }],
  [{ a: "x" }, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
])("merge patch of %p with %p gives %p", (target, patch, expected) => {
  expect(mergePatch(target, patch)).toEqual(expected);
});

test("JSON patch leaves its target alone", () => {
  const target = { data: { a: "1" } };
  expect(jsonPatch(target, [{ op: "replace", path: "/data/a", value: "2" }])).toEqual({ data: { a: "2" } });
  expect(target).toEqual({ data: { a: "1" } });
});

test.each([
  [[{ op: "test", path: "/data/a", value: "2" }]],
  [[{ op: "remove", path: "/data/none" }]],
  [[{ op: "nonsense", path: "/data" }]],
  [[{ op: "replace", path: "", value: 3 }]],
  [{ not: "a list" }],
])("JSON patch %p is refused", (patch) => {
  expect(() => jsonPatch({ data: { a: "1" } }, patch)).toThrow();
});

const nowMs = Date.UTC(2026, 0, 1);
const bound = (): KubeObject => ({
  metadata: { name: "p" },
  spec: { nodeName: "n", terminationGracePeriodSeconds: 30 },
});
const plan = (object: KubeObject, options: DeleteOptions, resource = "/pods") =>
  planDeletion(resource, object, options, nowMs);

test("deletion of a bound pod waits for its grace period", () => {
  expect(plan(bound(), {})).toMatchObject({
    step: "update",
    object: { metadata: { deletionTimestamp: "2026-01-01T00:00:30Z", deletionGracePeriodSeconds: 30 } },
  });
});

test("deletion of a pod takes it away when no node may run it or no grace is given", () => {
  expect(plan({ metadata: { name: "p" }, spec: {} }, {})).toEqual({ step: "remove" });
  expect(plan(bound(), { gracePeriodSeconds: 0 })).toEqual({ step: "remove" });
});

test("deletion said twice can only shorten the wait", () => {
  const object = bound();
  plan(object, {});
  expect(plan(object, { gracePeriodSeconds: 60 })).toEqual({ step: "keep" });
  expect(plan(object, { gracePeriodSeconds: 5 })).toMatchObject({
    step: "update",
    object: { metadata: { deletionTimestamp: "2026-01-01T00:00:05Z", deletionGracePeriodSeconds: 5 } },
  });
});

test("deletion in the foreground leaves a finalizer to the garbage collector", () => {
  expect(
    plan({ metadata: { name: "d" } }, { propagationPolicy: "Foreground" }, "apps/deployments"),
  ).toMatchObject({
    step: "update",
    object: { metadata: { finalizers: ["foregroundDeletion"], deletionGracePeriodSeconds: 0 } },
  });
});
