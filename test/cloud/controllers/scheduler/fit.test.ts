import { expect, test } from "bun:test";
import { chooseNode, needsOf, type NodeLoad } from "#internal/cloud/controllers/scheduler/fit.ts";
import type { Node, Pod, PodSpec } from "#shared/kube";

function node(name: string, more: Partial<Node> = {}): Node {
  const allocatable = { cpu: "2", memory: "2Gi", pods: "10" };
  return { metadata: { name, labels: { "kubernetes.io/hostname": name } }, status: { allocatable }, ...more };
}

function pod(name: string, spec: Partial<PodSpec> = {}, owner?: string): Pod {
  const reference = {
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    name: "rs",
    uid: owner ?? "",
    controller: true,
  };
  return {
    metadata: { name, namespace: "default", ...(owner !== undefined && { ownerReferences: [reference] }) },
    spec: { containers: [{ name: "c", image: "app:1" }], ...spec },
  };
}

function load(node: Node, ...pods: readonly Pod[]): NodeLoad {
  const amounts = new Map<string, number>();
  for (const one of pods)
    for (const [key, amount] of needsOf(one).amounts) amounts.set(key, (amounts.get(key) ?? 0) + amount);
  return { node, amounts, pods: new Map(pods.map((one) => [one.metadata.name ?? "", needsOf(one)])) };
}

function outcome(one: Pod, ...loads: readonly NodeLoad[]): string {
  const choice = chooseNode(one, needsOf(one), loads);
  return "node" in choice ? choice.node : choice.message;
}

function asking(cpu: string, memory = "1Mi"): Partial<PodSpec> {
  return { containers: [{ name: "c", resources: { requests: { cpu, memory } } }] };
}

test("chooseNode reports why no node fits, in kube-scheduler's words", () => {
  expect(outcome(pod("p"))).toBe("no nodes available to schedule pods");
  const away = node("a", {
    spec: { taints: [{ key: "node.kubernetes.io/unreachable", effect: "NoSchedule" }] },
  });
  expect(outcome(pod("p"), load(away))).toBe(
    "0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }.",
  );
  const cordoned = load(node("b", { spec: { unschedulable: true } }));
  const full = load(node("c"), pod("other", asking("1900m")));
  expect(outcome(pod("p", asking("200m", "3Gi")), cordoned, full)).toBe(
    "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) were unschedulable.",
  );
  expect(outcome(pod("p", { nodeSelector: { disk: "ssd" } }), load(node("a")))).toBe(
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
  );
});

test("chooseNode fills a node exactly to its allocatable resources", () => {
  const taken = pod("taken", asking("1.7"));
  expect(outcome(pod("p", asking("300m")), load(node("a"), taken))).toBe("a");
  expect(outcome(pod("p", asking("301m")), load(node("a"), taken))).toContain("Insufficient cpu");
});

test("needsOf counts the largest init container with the sidecars before it", () => {
  const init = { name: "i", resources: { requests: { cpu: "1500m" } } };
  const sidecar = { name: "s", restartPolicy: "Always", resources: { requests: { cpu: "200m" } } } as const;
  const needs = needsOf(pod("p", { ...asking("500m"), initContainers: [sidecar, init] }));
  expect(needs.amounts.get("cpu")).toBe(1700);
});

test("chooseNode rejects a host port in use, by address and protocol", () => {
  const web = (hostIP?: string, protocol?: string): Partial<PodSpec> => ({
    containers: [
      {
        name: "c",
        ports: [
          { containerPort: 80, hostPort: 80, ...(hostIP && { hostIP }), ...(protocol && { protocol }) },
        ],
      },
    ],
  });
  const busy = load(node("a"), pod("other", web("10.0.0.1")));
  expect(outcome(pod("p", web()), busy)).toContain("didn't have free ports");
  expect(outcome(pod("p", web("10.0.0.2")), busy)).toBe("a");
  expect(outcome(pod("p", web("10.0.0.1", "UDP")), busy)).toBe("a");
});

test.each([
  ["In", ["edge"], true],
  ["NotIn", ["edge"], false],
  ["Exists", undefined, true],
  ["DoesNotExist", undefined, false],
  ["In", ["cloud"], false],
] as const)("chooseNode applies required node affinity: %s %p", (operator, values, fits) => {
  const matchExpressions = [{ key: "role", operator, ...(values && { values }) }];
  const required = { nodeSelectorTerms: [{ matchExpressions }] };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } };
  const labelled = node("a", { metadata: { name: "a", labels: { role: "edge" } } });
  expect(outcome(pod("p", { affinity }), load(labelled)) === "a").toBe(fits);
});

test("tolerations admit pods to tainted and cordoned nodes", () => {
  const tainted = load(
    node("a", { spec: { unschedulable: true, taints: [{ key: "k", value: "v", effect: "NoExecute" }] } }),
  );
  expect(outcome(pod("p", { tolerations: [{ operator: "Exists" }] }), tainted)).toBe("a");
  expect(outcome(pod("p", { tolerations: [{ key: "k", value: "x" }] }), tainted)).not.toBe("a");
});

test("chooseNode spreads pods of one owner, then prefers free nodes that have the image", () => {
  const sibling = pod("s", {}, "owner");
  expect(
    outcome(pod("p", {}, "owner"), load(node("a"), sibling), load(node("b"), pod("x", asking("1")))),
  ).toBe("b");
  expect(outcome(pod("p"), load(node("a"), pod("x", asking("1"))), load(node("b")))).toBe("b");
  const allocatable = { cpu: "2", memory: "2Gi", pods: "10" };
  const cached = node("z", { status: { allocatable, images: [{ names: ["app:1"] }] } });
  expect(outcome(pod("p"), load(node("a")), load(cached))).toBe("z");
});
