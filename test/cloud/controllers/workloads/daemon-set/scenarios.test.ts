import { join } from "node:path";
import type { DaemonSet } from "#internal/cloud/controllers/framework/workloads.ts";
import { daemonPod } from "#internal/cloud/controllers/workloads/daemon-set/daemon-pod.ts";
import {
  balance,
  rollOut,
  worldOf,
  type DaemonPlan,
  type DaemonWorld,
} from "#internal/cloud/controllers/workloads/daemon-set/plan.ts";
import { daemonSetStatus } from "#internal/cloud/controllers/workloads/daemon-set/status.ts";
import { readyStatus } from "#internal/test/cloud/controllers/workload-harness.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { asRecord, asText, recordOf } from "#shared/json";
import type { Node, Pod, Taint } from "#shared/kube";

/**
 * Nodes by name, each with words about itself and its pods: `tainted, old ready, new`. A pod is `old` or `new` and may be
 * `ready`, `failed`, `succeeded` or `deleting`.
 */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  balance: (block) => planText(balance(worldOfBlock(block))),
  update: (block) => planText(rollOut(worldOfBlock(block))),
  status: (block) => daemonSetStatus(worldOfBlock(block), 0).status,
  rollout: (block) => {
    const steps: unknown[] = [];
    for (let world = worldOfBlock(block); steps.length < 20;) {
      const first = balance(world);
      const plan = first.create.length + first.remove.length > 0 ? first : rollOut(world);
      if (plan.create.length + plan.remove.length === 0) break;
      world = applied(world, plan);
      steps.push(stateText(world));
    }
    return steps;
  },
  pod: ({ input: [spec, node] }) => {
    const { metadata, spec: podSpec } = daemonPod(daemonSetOf(spec), asText(node), "h1");
    const { affinity, tolerations } = podSpec;
    return { metadata, affinity, tolerations };
  },
}));

function daemonSetOf(spec: unknown): DaemonSet {
  const { type = "RollingUpdate", minReadySeconds, template, ...rollingUpdate } = recordOf(spec);
  const given = asRecord(template) ?? {};
  return {
    metadata: { name: "agent", namespace: "default", uid: "ds", generation: 1 },
    spec: {
      selector: { matchLabels: { app: "agent" } },
      ...(minReadySeconds !== undefined && { minReadySeconds: Number(minReadySeconds) }),
      template: {
        metadata: { labels: { app: "agent" } },
        spec: { containers: [{ name: "c" }], ...given },
      },
      updateStrategy: { type: asText(type), rollingUpdate },
    },
  };
}

const nowMs = Date.parse("2026-01-01T01:00:00Z");

function worldOfBlock({ input: [spec, nodes] }: ScenarioBlock): DaemonWorld {
  const described = Object.entries(recordOf(nodes)).map(([name, words]) => describe(name, asText(words)));
  return worldOf(daemonSetOf(spec), {
    nodes: described.flatMap(({ node }) => (node ? [node] : [])),
    pods: described.flatMap(({ pods }) => pods),
    isUpdated,
    nowMs,
  });
}

function isUpdated({ metadata }: Pod): boolean {
  return metadata.labels?.["version"] === "new";
}

const taints: Readonly<Record<string, Taint>> = {
  tainted: { key: "example.com/mine", effect: "NoSchedule" },
  evicting: { key: "example.com/mine", effect: "NoExecute" },
  cordoned: { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" },
  pressed: { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" },
  offline: { key: "node.kubernetes.io/unreachable", effect: "NoSchedule" },
};

function describe(name: string, text: string): { node: Node | undefined; pods: Pod[] } {
  const words = text.split(", ").filter((word) => word !== "");
  const found = words.flatMap((word) => taints[word] ?? []);
  const ready = words.includes("offline") ? "Unknown" : "True";
  const node: Node = {
    metadata: { name, labels: { disk: words.includes("ssd") ? "ssd" : "sd" } },
    spec: { taints: found },
    status: { conditions: [{ type: "Ready", status: ready }] },
  };
  const pods = words
    .filter((word) => /^(old|new)\b/.test(word))
    .map((word, index) => podOf(name, word, index));
  return { node: words.includes("gone") ? undefined : node, pods };
}

function podOf(node: string, text: string, index: number): Pod {
  const [version = "", ...flags] = text.split(" ");
  const isBound = !flags.includes("unbound");
  const phase = flags.includes("failed") ? "Failed" : flags.includes("succeeded") ? "Succeeded" : "Pending";
  const affinity = daemonPod(daemonSetOf({}), node, "").spec.affinity;
  return {
    metadata: {
      name: `${node}-${version}`,
      labels: { version },
      creationTimestamp: `2026-01-01T00:00:0${index}Z`,
      ...(flags.includes("deleting") && { deletionTimestamp: "2026-01-01T00:30:00Z" }),
    },
    spec: { containers: [], ...(isBound && { nodeName: node }), ...(affinity && { affinity }) },
    status: flags.includes("ready") ? readyStatus(nowMs - 10_000) : { phase },
  };
}

function planText({ create, remove }: DaemonPlan): unknown {
  return { create, remove: remove.map(({ metadata }) => metadata.name ?? "") };
}

/** As when pods that were deleted are gone and new ones have become ready; nodes that are offline do neither. */
function applied(world: DaemonWorld, { create, remove }: DaemonPlan): DaemonWorld {
  return {
    ...world,
    nodes: world.nodes.map((node) => {
      const kept = node.pods.filter((pod) => !remove.includes(pod));
      const made = create.includes(node.name) ? [podOf(node.name, "new ready", 5)] : [];
      return { ...node, pods: [...kept, ...made] };
    }),
  };
}

function stateText({ nodes }: DaemonWorld): unknown {
  const versions = (pods: readonly Pod[]): string =>
    pods.map(({ metadata }) => metadata.labels?.["version"]).join(" ");
  return Object.fromEntries(nodes.map(({ name, pods }) => [name, versions(pods)]));
}
