import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startPodGarbageCollector } from "#internal/cloud/controllers/cluster/pod-garbage-collector/index.ts";
import { startScheduler } from "#internal/cloud/controllers/scheduler/controller.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Event, Node, Pod } from "#shared/kube";
import {
  controllerDeps,
  readyNode,
  smallPod,
  startCluster,
  until,
} from "#internal/test/cloud/controllers/cluster-harness.ts";

test("the scheduler reports why a pod waits, binds it when a node is added, and never overfills the node", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await using _scheduler = startScheduler(deps);
  await Promise.all(
    Array.from({ length: 12 }, (_, index) => kube.create(resources.pods, smallPod(`p${index}`, "200m"))),
  );
  const scheduledOf = (pod: Pod | undefined): string | undefined =>
    pod?.status?.conditions?.find((condition) => condition.type === "PodScheduled")?.message;
  await until(
    "reason of p0",
    () => scheduledOf(deps.pods.get("default/p0")) === "no nodes available to schedule pods",
  );
  await kube.create<Node>(resources.nodes, readyNode("edge-1"));
  await kube.patch(
    resources.nodes,
    { name: "edge-1" },
    { status: readyNode("").status },
    { type: "merge", subresource: "status" },
  );
  const bound = (): number => deps.pods.list().filter((pod) => pod.spec.nodeName === "edge-1").length;
  await until("five fit", () => bound() === 5);
  const waiting = (): Pod[] => deps.pods.list().filter((pod) => !pod.spec.nodeName);
  const full =
    "0/1 nodes are available: 1 Insufficient cpu. " +
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";
  await until("reasons of the others", () => waiting().every((pod) => scheduledOf(pod) === full));
  expect(bound()).toBe(5);
  const placed = deps.pods.list().find((pod) => pod.spec.nodeName);
  const name = placed?.metadata.name ?? "";
  await kube.remove(resources.pods, { name, namespace: "default" }, { graceSeconds: 0 });
  await until("the room is used", () => bound() === 5 && !deps.pods.get(`default/${name}`));
  const { items } = await kube.list<Event>(resources.events);
  expect(items.map((event) => event.message)).toContain(`Successfully assigned default/${name} to edge-1`);
  expect(items.some((event) => event.reason === "FailedScheduling" && event.message === full)).toBe(true);
});

test("the scheduler leaves a pod with gates alone, nobody else can bind it, and it runs when they are removed", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await kube.create<Node>(resources.nodes, readyNode("edge-1"));
  await kube.patch(
    resources.nodes,
    { name: "edge-1" },
    { status: readyNode("").status },
    { type: "merge", subresource: "status" },
  );
  await using _scheduler = startScheduler(deps);
  const gated = smallPod("gated");
  await kube.create<Pod>(resources.pods, {
    ...gated,
    spec: { ...gated.spec, schedulingGates: [{ name: "a" }] },
  });
  await kube.create(resources.pods, smallPod("plain"));
  await until("the other pod is bound", () => deps.pods.get("default/plain")?.spec.nodeName === "edge-1");
  const name = { namespace: "default", name: "gated" };
  const binding = {
    apiVersion: "v1",
    kind: "Binding",
    metadata: name,
    target: { kind: "Node", name: "edge-1" },
  };
  const refusal = await kube.createSubresource(resources.pods, name, "binding", binding).catch(String);
  expect(refusal).toContain("pod gated has non-empty .spec.schedulingGates");
  expect(deps.pods.get("default/gated")).toMatchObject({
    status: { conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] },
  });
  await kube.patch(resources.pods, name, { spec: { schedulingGates: null } }, { type: "merge" });
  await until("it is bound", () => deps.pods.get("default/gated")?.spec.nodeName === "edge-1");
});

test("a pod that room is made for nowhere is no longer nominated for a node", async () => {
  using dir = tempDir();
  await using cluster = await startCluster(dir.path);
  const { kube, deps } = cluster;
  await kube.create<Node>(resources.nodes, readyNode("edge-1"));
  await kube.create(resources.pods, smallPod("large", "64"));
  const name = { namespace: "default", name: "large" };
  const options = { type: "merge", subresource: "status" } as const;
  await kube.patch(resources.pods, name, { status: { nominatedNodeName: "edge-1" } }, options);
  await until(
    "the nomination is seen",
    () => deps.pods.get("default/large")?.status?.nominatedNodeName === "edge-1",
  );
  await using _scheduler = startScheduler(deps);
  await until("it is gone", () => deps.pods.get("default/large")?.status?.nominatedNodeName === undefined);
  expect(deps.pods.get("default/large")?.status?.conditions?.[0]?.reason).toBe("Unschedulable");
});

test("the pod garbage collector deletes the pods of a deleted node, not those of one created again", async () => {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  for (const name of ["gone", "back"]) {
    kube.put(resources.nodes, readyNode(name));
    const pod = smallPod(`on-${name}`);
    kube.put(resources.pods, { ...pod, spec: { ...pod.spec, nodeName: name } });
  }
  await using _gc = startPodGarbageCollector(await controllerDeps(kube, clock));
  await kube.remove(resources.nodes, { name: "gone" });
  await kube.remove(resources.nodes, { name: "back" });
  await clock.advance(5_000);
  kube.put(resources.nodes, readyNode("back"));
  await clock.advance(4_000);
  expect(kube.all(resources.pods)).toHaveLength(2);
  await clock.advance(2_000);
  expect(kube.all(resources.pods).map((pod) => pod.metadata.name)).toEqual(["on-back"]);
});
