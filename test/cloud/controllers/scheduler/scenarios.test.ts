import { join } from "node:path";
import { chooseNode, needsOf, type NodeLoad } from "#internal/cloud/controllers/scheduler/fit.ts";
import { runScenarios, type ScenarioBlock } from "#internal/test/support/scenario.ts";
import { asText, recordOf } from "#shared/json";
import type { Container, Node, Pod, PodSpec, Taint } from "#shared/kube";

/** `schedule`: the first document is the spec of a pod, the others are nodes; answers with a node, or why none fits. */
runScenarios(join(import.meta.dir, "scenarios"), () => ({
  schedule: ({ input: [spec, ...nodes] }: ScenarioBlock) => {
    const pod = podOf("p", spec);
    const choice = chooseNode(pod, needsOf(pod), nodes.map(loadOf));
    return "node" in choice ? choice.node : choice.message;
  },
  needs: ({ input: [spec] }: ScenarioBlock) => Object.fromEntries(needsOf(podOf("p", spec)).amounts),
}));

/** A pod of the fields of its spec, and `cpu`, `image` and `owner` for what most cases vary. */
function podOf(name: string, given: unknown): Pod {
  const { cpu, image = "app:1", owner, ...spec } = recordOf(given);
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
    metadata: { name, namespace: "default", ...(owner !== undefined && { ownerReferences: [controller] }) },
    spec: { containers: [container], ...(spec as Partial<PodSpec>) },
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
}

function loadOf(given: unknown): NodeLoad {
  // The cases are ours: a field of the wrong type fails its case.
  const { name, labels, taints, cordoned, allocatable, images = [], pods = [] } = given as NodeCase;
  const node: Node = {
    metadata: { name, ...(labels && { labels }) },
    spec: { ...(taints && { taints }), ...(cordoned && { unschedulable: true }) },
    status: {
      allocatable: { cpu: "2", memory: "2Gi", pods: "10", ...allocatable },
      images: [{ names: images }],
    },
  };
  const needs = pods.map((pod, index) => needsOf(podOf(`on-${name}-${index}`, pod)));
  const amounts = new Map<string, number>();
  for (const [resource, amount] of needs.flatMap((one) => [...one.amounts]))
    amounts.set(resource, (amounts.get(resource) ?? 0) + amount);
  return { node, amounts, pods: new Map(needs.map((one, index) => [String(index), one])) };
}
