import { join } from "node:path";
import type { StatefulSet } from "#internal/cloud/controllers/framework/workloads.ts";
import {
  planSet,
  worldOf,
  type SetPlan,
  type SetWorld,
} from "#internal/cloud/controllers/workloads/stateful-set/plan.ts";
import { statefulPod } from "#internal/cloud/controllers/workloads/stateful-set/stateful-pod.ts";
import { setStatus } from "#internal/cloud/controllers/workloads/stateful-set/status.ts";
import { readyStatus } from "#internal/test/cloud/controllers/workload-harness.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { asRecord, asText, recordOf } from "#shared/json";
import type { Pod } from "#shared/kube";

/** Pods by number, each with words: `old` or `new`, and `ready`, `failed` or `deleting`. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  plan: (block) => planText(planSet(worldOfBlock(block))),
  status: (block) => setStatus(worldOfBlock(block), 0).status,
  progress: (block) => {
    const steps: unknown[] = [];
    for (let world = worldOfBlock(block); steps.length < 20;) {
      const plan = planSet(world);
      if (plan.create.length + plan.remove.length === 0) break;
      world = applied(world, plan);
      steps.push(stateText(world));
    }
    return steps;
  },
  pod: ({ input: [spec, ordinal] }) => {
    const set = setOf(spec);
    const revision = {
      metadata: { name: "web-h1" },
      revision: 1,
      data: { spec: { template: set.spec.template } },
    };
    const { metadata, spec: podSpec } = statefulPod(set, Number(ordinal), revision);
    return { metadata, spec: podSpec };
  },
}));

function setOf(spec: unknown): StatefulSet {
  const { type = "RollingUpdate", partition = 0, template, ...rest } = recordOf(spec);
  return {
    metadata: { name: "web", namespace: "default", uid: "sts", generation: 1 },
    spec: {
      replicas: 3,
      selector: { matchLabels: { app: "web" } },
      template: {
        metadata: { labels: { app: "web" } },
        spec: { containers: [{ name: "c" }], ...asRecord(template) },
      },
      updateStrategy: { type: asText(type), rollingUpdate: { partition: Number(partition) } },
      ...rest,
    },
  };
}

const nowMs = Date.parse("2026-01-01T01:00:00Z");

function worldOfBlock({ input: [spec, pods] }: ScenarioBlock): SetWorld {
  const made = Object.entries(recordOf(pods)).map(([ordinal, words]) =>
    podOf(Number(ordinal), asText(words)),
  );
  return worldOf(setOf(spec), made, { currentRevision: "old", updateRevision: "new", nowMs });
}

function podOf(ordinal: number, text: string): Pod {
  const [revision = "", ...flags] = text.split(" ");
  const phase = flags.includes("failed") ? "Failed" : "Running";
  return {
    metadata: {
      name: `web-${ordinal}`,
      labels: { "controller-revision-hash": revision },
      ...(flags.includes("deleting") && { deletionTimestamp: "2026-01-01T00:30:00Z" }),
    },
    spec: { containers: [] },
    status: flags.includes("ready") ? readyStatus(nowMs - 10_000) : { phase },
  };
}

function planText({ create, remove }: SetPlan): unknown {
  return { create, remove: remove.map(({ metadata }) => metadata.name) };
}

/** As when deleted pods are gone, and new ones have become ready. */
function applied({ set, slots, condemned, ...rest }: SetWorld, { create, remove }: SetPlan): SetWorld {
  const kept = [...slots.flatMap(({ pod }) => pod ?? []), ...condemned].filter(
    (pod) => !remove.includes(pod),
  );
  const made = create.map((ordinal) => podOf(ordinal, "new ready"));
  return worldOf(set, [...kept, ...made], rest);
}

function stateText({ slots, condemned }: SetWorld): unknown {
  const pods = [...slots.flatMap(({ pod }) => pod ?? []), ...condemned];
  return Object.fromEntries(
    pods.map(({ metadata }) => [metadata.name, metadata.labels?.["controller-revision-hash"]]),
  );
}
