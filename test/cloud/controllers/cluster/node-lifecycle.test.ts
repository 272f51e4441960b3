import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startNodeLifecycleController } from "#internal/cloud/controllers/cluster/node-lifecycle/controller.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import type { Lease, Node, Pod } from "#shared/kube";
import { controllerDeps, readyNode, smallPod } from "#internal/test/cloud/controllers/cluster-harness.ts";

function lease(name: string, renewTime: string): Lease {
  return { metadata: { name, namespace: "kube-node-lease" }, spec: { renewTime } };
}

function taintsOf(kube: FakeKubeClient, name: string): string[] {
  const taints = kube.peek<Node>(resources.nodes, name)?.spec?.taints ?? [];
  return taints.map(({ key, effect }) => `${key}:${effect}`);
}

function readyOf(object: Node | Pod | undefined): string | undefined {
  return object?.status?.conditions?.find(({ type }) => type === "Ready")?.status;
}

test("a node whose lease is not renewed is unreachable within 40 s, and schedulable again at once when it reconnects", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  kube.put(resources.nodes, readyNode("silent"));
  kube.put(resources.nodes, readyNode("alive"));
  // The clock of the edge node is years behind: only the change counts.
  kube.put(resources.leases, lease("silent", "2001-01-01T00:00:00.000000Z"));
  const status = { conditions: [{ type: "Ready", status: "True" as const }] };
  const pod = smallPod("p");
  kube.put(resources.pods, { ...pod, spec: { ...pod.spec, nodeName: "silent" }, status });
  await using _lifecycle = startNodeLifecycleController(await controllerDeps(kube, clock));
  for (let second = 0; second < 34; second += 10) {
    kube.put(resources.leases, lease("alive", `2001-01-01T00:00:${second + 10}.000000Z`));
    await clock.advance(second === 30 ? 4_000 : 10_000);
  }
  expect(readyOf(kube.peek<Node>(resources.nodes, "silent"))).toBe("True");
  await clock.advance(5_000);
  expect(readyOf(kube.peek<Node>(resources.nodes, "silent"))).toBe("Unknown");
  expect(taintsOf(kube, "silent")).toEqual(["node.kubernetes.io/unreachable:NoSchedule"]);
  expect(readyOf(kube.peek<Pod>(resources.pods, "default/p"))).toBe("False");
  expect(readyOf(kube.peek<Node>(resources.nodes, "alive"))).toBe("True");
  expect(taintsOf(kube, "alive")).toEqual([]);
  const back = { status: { conditions: [{ type: "Ready", status: "True" }] } };
  await kube.patch(resources.nodes, { name: "silent" }, back, { type: "strategic", subresource: "status" });
  await clock.advance(0);
  expect(taintsOf(kube, "silent")).toEqual([]);
  await clock.advance(5_000);
  expect(readyOf(kube.peek<Node>(resources.nodes, "silent"))).toBe("True");
});

test("conditions and cordon of a node become taints; other taints stay", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  const node = readyNode("n");
  const conditions = [
    { type: "Ready", status: "False" as const },
    { type: "DiskPressure", status: "True" as const },
  ];
  const taints = [{ key: "mine", effect: "NoExecute" as const }];
  kube.put(resources.nodes, { ...node, spec: { unschedulable: true, taints }, status: { conditions } });
  await using _lifecycle = startNodeLifecycleController(await controllerDeps(kube, clock));
  await clock.advance(0);
  expect(taintsOf(kube, "n")).toEqual([
    "mine:NoExecute",
    "node.kubernetes.io/not-ready:NoSchedule",
    "node.kubernetes.io/unschedulable:NoSchedule",
    "node.kubernetes.io/disk-pressure:NoSchedule",
  ]);
});
