import { join } from "node:path";
import {
  taintsWanted,
  unknownConditions,
} from "#internal/cloud/controllers/cluster/node-lifecycle/conditions.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import type { Node, Taint } from "#shared/kube";

const now = "2026-01-01T00:00:00Z";

interface NodeCase {
  readonly conditions?: Readonly<Record<string, "True" | "False" | "Unknown">>;
  readonly taints?: readonly string[];
  readonly cordoned?: boolean;
}

/** `taints`: the taints a node gets, as key:effect, or null when it keeps its own. `silent`: its conditions once it is silent. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  taints: (block) => taintsWanted(nodeOf(block), now)?.map(({ key, effect }) => `${key}:${effect}`),
  silent: (block) =>
    Object.fromEntries(unknownConditions(nodeOf(block), now).map(({ type, reason }) => [type, reason])),
}));

function nodeOf({ input: [given] }: ScenarioBlock): Node {
  // The cases are ours: a field of the wrong type fails its case.
  const { conditions = {}, taints = [], cordoned } = given as unknown as NodeCase;
  return {
    metadata: { name: "n" },
    spec: { taints: taints.map(taintOf), ...(cordoned && { unschedulable: true }) },
    status: { conditions: Object.entries(conditions).map(([type, status]) => ({ type, status })) },
  };
}

function taintOf(text: string): Taint {
  const [key = "", effect] = text.split(":");
  return { key, effect: effect as Taint["effect"] };
}
