import { expect, test } from "bun:test";
import type { Node } from "#shared/kube";
import { disk, GiB, hard, MiB, phases, plenty, podOf, run, world } from "./eviction-world.ts";

test("conditions of the Node last for the transition period, and decide which new pods are admitted", async () => {
  await using at = await world();
  const { edge, clock, machine } = at;
  const conditions = (): string[] =>
    at.edge.log.lines.filter((line) => line.includes("pressure on the node changed"));
  machine.load = { ...plenty, memoryAvailableBytes: 50 * MiB };
  await clock.advance(4000);
  machine.load = plenty;
  await clock.advance(200_000);
  const requests = { memory: "10Mi" };
  const key = "node.kubernetes.io/memory-pressure";
  await run(at, podOf("best"), podOf("burst", { requests }), podOf("critical", { priority: 2_000_000_000 }));
  await run(at, podOf("tolerant", { tolerations: [{ key, operator: "Exists", effect: "NoSchedule" }] }));
  expect(phases(at, "best", "burst", "critical", "tolerant")).toEqual([
    "Failed",
    "Running",
    "Running",
    "Running",
  ]);
  expect(edge.status("uid-best")).toEqual({
    phase: "Failed",
    reason: "Evicted",
    message: "Pod was rejected: The node had condition: [MemoryPressure]. ",
    qosClass: "BestEffort",
  });
  await clock.advance(110_000);
  await run(at, podOf("later"));
  expect([phases(at, "later"), conditions().length]).toEqual([["Running"], 2]);
});

test("under disk pressure only critical pods are admitted", async () => {
  await using at = await world();
  const { clock, machine } = at;
  machine.load = { ...plenty, disk: { ...disk, availableBytes: 9 * GiB } };
  await clock.advance(4000);
  const limits = { cpu: "1", memory: "10Mi" };
  await run(at, podOf("guaranteed", { limits }), podOf("critical", { priority: 2_000_001_000 }));
  expect(phases(at, "guaranteed", "critical")).toEqual(["Failed", "Running"]);
});

test("pressure is reported at once as conditions of the Node, and its end after the transition period", async () => {
  await using at = await world({ hard, transitionMs: 60_000 });
  const { edge, clock, machine } = at;
  edge.cloud = () => ({ Object: { metadata: { uid: "u", resourceVersion: "1", labels: {} } }, Err: null });
  await edge.link(true);
  await clock.advance(0);
  const reported = (): string[] => {
    const patches = edge.requests.filter(({ resource }) => resource.includes("nodepatch"));
    const { status } = JSON.parse(patches.at(-1)?.content as string) as Node;
    const wanted = (status?.conditions ?? []).filter(({ type }) => type.endsWith("Pressure"));
    return wanted.map(({ type, status: value, reason, message }) => `${type} ${value} ${reason}: ${message}`);
  };
  const [memory, others] = [
    "MemoryPressure True KubeletHasInsufficientMemory: kubelet has insufficient memory available",
    [
      "DiskPressure False KubeletHasNoDiskPressure: kubelet has no disk pressure",
      "PIDPressure False KubeletHasSufficientPID: kubelet has sufficient PID available",
    ],
  ];
  machine.load = { ...plenty, memoryAvailableBytes: 1 };
  await clock.advance(3500);
  expect(reported()).toEqual([memory, ...others]);
  machine.load = plenty;
  await clock.advance(50_000);
  expect(reported()).toEqual([memory, ...others]);
  await clock.advance(20_000);
  expect(reported()).toEqual([
    "MemoryPressure False KubeletHasSufficientMemory: kubelet has sufficient memory available",
    ...others,
  ]);
});
