import { join } from "node:path";
import { budgetState } from "#internal/cloud/controllers/disruption/budget.ts";
import type { PodDisruptionBudget } from "#internal/cloud/controllers/framework/workloads.ts";
import { runScenarios } from "#internal/test/support/scenario/scenario.ts";
import { asText, recordOf, type Json } from "#shared/json";
import type { Pod } from "#shared/kube";

const nowMs = Date.UTC(2026, 0, 1, 12);

/** A budget with evictions (`disrupted`, in seconds before now), and its pods by name: ready, unready or going. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  budget: ({ input: [given, pods], options }) => {
    const { disrupted = {}, ...spec } = recordOf(given);
    const entries = Object.entries(recordOf(disrupted)).map(([name, seconds]) => [
      name,
      ago(Number(seconds)),
    ]);
    const budget: PodDisruptionBudget = {
      metadata: { name: "b" },
      spec,
      status: { disruptedPods: Object.fromEntries(entries) as Record<string, string> },
    };
    const scale = Number(options.get("scale") ?? 0);
    const { status, recheckMs, undeleted } = budgetState(budget, podsOf(pods), { scale, nowMs });
    const { currentHealthy, desiredHealthy, expectedPods, disruptionsAllowed, disruptedPods, conditions } =
      status;
    return {
      healthy: `${currentHealthy}/${desiredHealthy} of ${expectedPods}`,
      allowed: disruptionsAllowed,
      condition: conditions?.map(({ status: value, reason }) => `${value} ${reason}`).join(),
      ...(disruptedPods && { disrupted: Object.keys(disruptedPods) }),
      ...(recheckMs !== undefined && { recheckSeconds: recheckMs / 1000 }),
      ...(undeleted.length > 0 && { undeleted }),
    };
  },
}));

function podsOf(given: Json | undefined): Pod[] {
  return Object.entries(recordOf(given)).map(([name, state]) => ({
    metadata: { name, ...(state === "going" && { deletionTimestamp: ago(1) }) },
    spec: { containers: [] },
    status: {
      phase: "Running",
      conditions: [{ type: "Ready", status: asText(state) === "unready" ? "False" : "True" }],
    },
  }));
}

function ago(seconds: number): string {
  return new Date(nowMs - seconds * 1000).toISOString();
}
