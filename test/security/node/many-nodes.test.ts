import { expect, test } from "bun:test";
import { WriteBudget } from "#cloud/edge-controller/node-authorization";

test("what nodes may write is counted at the same cost for ten thousand nodes", () => {
  const clock = { monotonicMs: () => 0 };
  const budget = new WriteBudget(clock);
  const nodes = Array.from({ length: 10_000 }, (_none, index) => `edge-${index}`);
  for (let n = 0; n < 2000; n += 1) budget.spend("flood", "events", 1);
  const since = performance.now();
  for (const node of nodes) {
    budget.spend(node, "statuses", 60_000);
    budget.spend(node, "events", 1000);
    expect(budget.allows(node, "leases")).toBe(true);
  }
  for (const node of nodes) expect(budget.allows(node, "leases")).toBe(true);
  expect(performance.now() - since).toBeLessThan(3000);
  expect([budget.allows("flood", "events"), budget.allows("flood", "leases")]).toEqual([false, true]);
});
