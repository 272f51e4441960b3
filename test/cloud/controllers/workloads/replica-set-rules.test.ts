import { expect, test } from "bun:test";
import { Expectations } from "#internal/cloud/controllers/workloads/pods/expectations.ts";
import { isSelectedBy } from "#internal/cloud/controllers/framework/claim.ts";
import { deletionOrder } from "#internal/cloud/controllers/workloads/pods/deletion-order.ts";
import { countPods } from "#internal/cloud/controllers/workloads/replica-set/pods.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import type { Pod } from "#shared/kube";
import { readyStatus } from "#internal/test/cloud/controllers/workload-harness.ts";

function pod(name: string, more: { nodeName?: string; status?: NonNullable<Pod["status"]> } = {}): Pod {
  const { nodeName, status } = more;
  return {
    metadata: { name, uid: name, creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { containers: [], ...(nodeName !== undefined && { nodeName }) },
    ...(status && { status }),
  };
}

test("a ReplicaSet waits until the copy shows created and deleted pods, for at most 30 s", async () => {
  const clock = new FakeClock();
  const expectations = new Expectations(clock);
  expect(expectations.waitMs("rs", [])).toBe(0);
  expectations.created("rs", "a");
  expect(expectations.waitMs("rs", [])).toBe(30_000);
  expect(expectations.waitMs("rs", [pod("a")])).toBe(0);
  expectations.deleted("rs", "a");
  expect(expectations.waitMs("rs", [pod("a")])).toBeGreaterThan(0);
  expect(expectations.waitMs("rs", [])).toBe(0);
  expectations.created("rs", "b");
  expectations.removed("rs", "b");
  expect(expectations.waitMs("rs", [])).toBe(0);
  expectations.created("rs", "c");
  await clock.advance(30_001);
  expect(expectations.waitMs("rs", [])).toBe(0);
});

test("a ReplicaSet deletes the least useful pods first", () => {
  const pods = [
    pod("long-ready", { nodeName: "n", status: readyStatus(1000) }),
    pod("short-ready", { nodeName: "n", status: readyStatus(9000) }),
    pod("running", { nodeName: "n", status: { phase: "Running" } }),
    pod("pending", { nodeName: "n", status: { phase: "Pending" } }),
    pod("unassigned"),
  ];
  const names = deletionOrder(pods).map(({ metadata }) => metadata.name);
  expect(names).toEqual(["unassigned", "pending", "running", "short-ready", "long-ready"]);
});

test("a pod is available when it has been ready for minReadySeconds", () => {
  const spec = { minReadySeconds: 10, selector: {}, template: { spec: { containers: [] } } };
  const pods = [pod("a", { status: readyStatus(1000) }), pod("b", { status: readyStatus(8000) })];
  const counted = countPods({ metadata: {}, spec }, pods, { nowMs: () => 12_000 });
  expect(counted.status).toMatchObject({ replicas: 2, readyReplicas: 2, availableReplicas: 1 });
  expect(counted.availableInMs).toBe(6000);
});

test("a selector selects by labels and expressions, an empty one nothing", () => {
  const labels = { app: "web", tier: "front" };
  const select = (operator: string, values?: string[]): boolean =>
    isSelectedBy({ matchExpressions: [{ key: "tier", operator, ...(values && { values }) }] }, labels);
  expect(isSelectedBy({}, labels)).toBe(false);
  expect(isSelectedBy({ matchLabels: { app: "web" } }, labels)).toBe(true);
  expect([select("In", ["front"]), select("NotIn", ["front"])]).toEqual([true, false]);
  expect([select("Exists"), select("DoesNotExist"), select("Odd")]).toEqual([true, false, false]);
});
