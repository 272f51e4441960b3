import { join } from "node:path";
import { chooseNode, type ClusterView } from "#internal/cloud/controllers/scheduler/choose.ts";
import { needsOf } from "#internal/cloud/controllers/scheduler/load/needs.ts";
import { MutableLoad, type NodeLoad } from "#internal/cloud/controllers/scheduler/load/node-load.ts";
import { planPreemption } from "#internal/cloud/controllers/scheduler/preemption.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario/scenario.ts";
import { asText, recordOf } from "#shared/json";
import type { Container, Node, Pod, PodSpec, Taint } from "#shared/kube";

/** `schedule`: the first document is the spec of a pod, the others are nodes; answers with a node, or why none fits. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  schedule: ({ input: [spec, ...nodes] }: ScenarioBlock) => {
    const choice = chooseNode(needsOf(podOf("p", spec)), clusterOf(nodes));
    return "node" in choice ? choice.node : choice.message;
  },
  preempt: ({ input: [spec, ...nodes] }: ScenarioBlock) => {
    const needs = needsOf(podOf("p", spec));
    const cluster = clusterOf(nodes);
    const choice = chooseNode(needs, cluster);
    if ("node" in choice) return choice.node;
    const plan = planPreemption(needs, choice.rejected, { cluster, budgets });
    if ("message" in plan) return plan.message;
    return { node: plan.node, victims: plan.victims.map(({ pod }) => pod.metadata.name) };
  },
  needs: ({ input: [spec] }: ScenarioBlock) => Object.fromEntries(needsOf(podOf("p", spec)).amounts),
}));

function clusterOf(nodes: readonly unknown[]): ClusterView {
  const labels: Record<string, Record<string, string>> = { "team-a": { team: "a" } };
  const nominated = new Map(
    nodes.map((given) => {
      // The cases are ours: a field of the wrong type fails its case.
      const { name, nominated: waiting = [] } = given as NodeCase;
      const pods = waiting.map((pod, index) => needsOf(podOf(`waits-${name}-${index}`, pod)));
      return [name, new Map(pods.map((one) => [one.pod.metadata.name ?? "", one]))];
    }),
  );
  return {
    loads: nodes.map(loadOf),
    firstNode: 0,
    storage: {
      claim: () => undefined,
      volume: () => undefined,
      volumes: () => [],
      storageClass: () => undefined,
    },
    namespaceLabels: (namespace) => labels[namespace] ?? {},
    nominated: (node) => nominated.get(node) ?? new Map(),
  };
}

/** Protects pods with the label `protected: "yes"`. */
const budgets = [
  {
    metadata: { name: "pdb", namespace: "default" },
    spec: { selector: { matchLabels: { protected: "yes" } } },
    status: { disruptionsAllowed: 0 },
  },
];

/** A pod of the fields of its spec, and `cpu`, `image` and `owner` for what most cases vary. */
function podOf(name: string, given: unknown): Pod {
  const { cpu, image = "app:1", owner, labels, namespace = "default", started, ...spec } = recordOf(given);
  const container: Container = {
    name: "c",
    image: asText(image),
    ...(cpu !== undefined && { resources: { requests: { cpu: asText(cpu) } } }),
  };
  const controller = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: "rs",
    uid: asText(owner),
    controller: true,
  };
  return {
    metadata: {
      name,
      uid: name,
      namespace: asText(namespace),
      ...(labels !== undefined && { labels: labels as Record<string, string> }),
      ...(owner !== undefined && { ownerReferences: [controller] }),
    },
    spec: { containers: [container], ...(spec as Partial<PodSpec>) },
    ...(started !== undefined && { status: { startTime: asText(started) } }),
  };
}

interface NodeCase {
  readonly name: string;
  readonly labels?: Record<string, string>;
  readonly taints?: Taint[];
  readonly cordoned?: boolean;
  readonly allocatable?: Record<string, string>;
  readonly images?: string[];
  readonly pods?: readonly unknown[];
  readonly nominated?: readonly unknown[];
}

function loadOf(given: unknown): NodeLoad {
  // The cases are ours: a field of the wrong type fails its case.
  const { name, labels, taints, cordoned, allocatable, images = [], pods = [] } = given as NodeCase;
  const node: Node = {
    metadata: { name, ...(labels && { labels }) },
    spec: { ...(taints && { taints }), ...(cordoned && { unschedulable: true }) },
    status: {
      allocatable: { cpu: "2", memory: "2Gi", pods: "10", ...allocatable },
      images: [{ names: images, sizeBytes: 500 * 2 ** 20 }],
    },
  };
  const load = new MutableLoad(node);
  for (const [index, pod] of pods.entries())
    load.add(String(index), needsOf(podOf(`on-${name}-${index}`, pod)));
  return load;
}
