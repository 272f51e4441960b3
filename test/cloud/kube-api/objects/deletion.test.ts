import { expect, test } from "bun:test";
import { planDeletion, type DeleteOptions } from "#cloud/kube-api/objects";
import type { KubeObject } from "#shared/kube";

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

test("deletion of a pod removes it when no node runs it, or without grace period", () => {
  expect(plan({ metadata: { name: "p" }, spec: {} }, {})).toEqual({ step: "remove" });
  expect(plan(bound(), { gracePeriodSeconds: 0 })).toEqual({ step: "remove" });
});

test("a second deletion only shortens the grace period", () => {
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
