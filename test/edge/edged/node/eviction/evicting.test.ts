import { expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MachineLoad } from "#edge/edged/node";
import { UnavailableError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import { disk, fillVolume, GiB, hard, MiB, phases, plenty, podOf, run, world } from "./eviction-world.ts";

test("a pod is evicted when memory is short, with kubelet's reason, message and condition, and nothing of it stays", async () => {
  await using at = await world();
  const { edge, clock, runtime, machine } = at;
  await run(
    at,
    podOf("greedy", { volumes: [{ name: "v", emptyDir: {} }] }),
    podOf("modest", { requests: { memory: "1Gi" } }),
  );
  at.uses("greedy", 300 * MiB);
  at.uses("modest", 500 * MiB);
  machine.load = { ...plenty, memoryAvailableBytes: 92 * 1024 };
  await clock.advance(0);
  runtime.onStop = () => (machine.load = plenty);
  await clock.advance(4000);
  const message =
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92Ki. " +
    "Container c was using 300Mi, request is 0, has larger consumption of memory. ";
  const status = edge.status("uid-greedy");
  expect([status?.phase, status?.reason, status?.message]).toEqual(["Failed", "Evicted", message]);
  expect(status?.conditions?.find(({ type }) => type === "DisruptionTarget")).toMatchObject({
    status: "True",
    reason: "TerminationByKubelet",
    message,
  });
  expect(status?.containerStatuses?.[0]?.state?.terminated?.exitCode).toBe(137);
  expect(phases(at, "modest")).toEqual(["Running"]);
  expect(new Set(runtime.specs().map(({ identity }) => identity.podName))).toEqual(new Set(["modest"]));
  expect(existsSync(join(at.dataDir, "pods/uid-greedy"))).toBe(false);
  expect(edge.events.filter(({ reason }) => reason === "Evicted").map((one) => one.message)).toEqual([
    message,
  ]);
  expect(edge.events.find(({ reason }) => reason === "EvictionThresholdMet")?.message).toBe(
    "Attempting to reclaim memory",
  );
});

test("an evicted pod is Failed only once its containers have ended, and stays so over a restart", async () => {
  await using at = await world();
  const { edge, clock, runtime, machine } = at;
  await run(at, podOf("greedy"));
  machine.load = { ...plenty, memoryAvailableBytes: 0 };
  runtime.onStop = () => (machine.load = plenty);
  await clock.advance(4000);
  const seen = (edge.statuses.get("uid-greedy") ?? []).map(({ phase, conditions }) => [
    phase,
    conditions?.some(({ type }) => type === "DisruptionTarget"),
  ]);
  expect(seen.slice(-2)).toEqual([
    ["Running", true],
    ["Failed", true],
  ]);
  const pod = podOf("greedy");
  await edge.stop();
  edge.pods.set("uid-greedy", {
    ...pod,
    ...(edge.status("uid-greedy") && { status: edge.status("uid-greedy") }),
  } as Pod);
  const before = edge.statuses.get("uid-greedy")?.length;
  await at.start();
  await clock.advance(10_000);
  expect([runtime.specs(), edge.statuses.get("uid-greedy")?.length]).toEqual([[], before]);
});

test("pods are evicted one at a time: over their request, then of low priority, then by how much they exceed it", async () => {
  await using at = await world();
  const { edge, clock, runtime, machine } = at;
  const pods = [
    podOf("within", { requests: { memory: "1Gi" }, priority: -5 }),
    podOf("important", { priority: 10 }),
    podOf("small", { requests: { memory: "100Mi" } }),
    podOf("large", { requests: { memory: "400Mi" } }),
    podOf("critical", { priority: 2_000_001_000 }),
  ];
  await run(at, ...pods);
  at.uses("within", 900 * MiB);
  at.uses("important", 800 * MiB);
  at.uses("small", 200 * MiB);
  at.uses("large", 450 * MiB);
  at.uses("critical", 2 * GiB);
  const order: string[] = [];
  runtime.onStop = (identity) => {
    if (identity.role === "container") order.push(identity.podName);
  };
  machine.load = { ...plenty, memoryAvailableBytes: 0 };
  await clock.advance(10_000);
  expect(order).toEqual(["small", "large", "important", "within"]);
  expect(phases(at, "critical")).toEqual(["Running"]);
  expect(edge.log.lines.filter((line) => line.includes("no pod can be evicted"))).toHaveLength(1);
});

test("a soft threshold evicts after its grace period, with the grace that it gives pods", async () => {
  await using at = await world({
    soft: { "memory.available": "300Mi" },
    softGraceMs: { "memory.available": 60_000 },
    maxPodGraceSeconds: 7,
  });
  const { clock, runtime, machine } = at;
  await run(at, podOf("web"));
  machine.load = { ...plenty, memoryAvailableBytes: 200 * MiB };
  await clock.advance(30_000);
  machine.load = plenty;
  await clock.advance(10_000);
  machine.load = { ...plenty, memoryAvailableBytes: 200 * MiB };
  await clock.advance(55_000);
  expect(phases(at, "web")).toEqual(["Running"]);
  const graces: number[] = [];
  runtime.onStop = (identity, grace) => {
    if (identity.role === "container") graces.push(grace);
  };
  await clock.advance(12_000);
  expect([phases(at, "web"), graces]).toEqual([["Failed"], [7]]);
});

test("once a threshold was passed its minimum reclaim is freed too", async () => {
  await using at = await world({ hard, minimumReclaim: { "nodefs.available": "5Gi" } });
  const { clock, runtime, machine } = at;
  const volumes = [{ name: "v", emptyDir: {} }];
  await run(at, podOf("a", { volumes }), podOf("b", { volumes }));
  for (const name of ["a", "b"]) fillVolume(at, name);
  const images = { ...disk, capacityBytes: 7 * GiB };
  const free = (bytes: number): MachineLoad => ({
    ...plenty,
    images,
    disk: { ...disk, availableBytes: bytes },
  });
  const stopped: string[] = [];
  runtime.onStop = ({ role, podName }) => {
    if (role !== "container") return;
    stopped.push(podName);
    machine.load = free((stopped.length === 1 ? 12 : 16) * GiB);
  };
  machine.load = free(12 * GiB);
  await clock.advance(10_000);
  expect(stopped).toEqual([]);
  machine.load = free(9 * GiB);
  for (let turn = 0; turn < 50 && stopped.length < 2; turn += 1) {
    await clock.advance(1000);
    await Bun.sleep(20);
  }
  await clock.advance(10_000);
  expect(stopped).toHaveLength(2);
});

test("pods that take little of a disk are left alone, however full others make it", async () => {
  await using at = await world();
  const { edge, clock, machine, runtime } = at;
  await run(at, podOf("little"), podOf("much"));
  runtime.onDisk.set(at.idOf("little"), { writableBytes: 9 * MiB, logBytes: 0 });
  runtime.onDisk.set(at.idOf("much"), { writableBytes: 9 * MiB, logBytes: MiB });
  const full = { ...disk, availableBytes: GiB };
  machine.load = { ...plenty, disk: full, images: full };
  for (let turn = 0; turn < 20; turn += 1) await clock.advance(5000);
  expect(phases(at, "little", "much")).toEqual(["Running", "Failed"]);
  expect(edge.log.lines.filter((line) => line.includes("no pod can be evicted"))).toHaveLength(1);
});

test("the pod with most on the disk goes first, and the message has what its containers wrote", async () => {
  await using at = await world();
  const { edge, clock, runtime, machine } = at;
  await run(at, podOf("logs"), podOf("volume", { volumes: [{ name: "v", emptyDir: {} }] }), podOf("quiet"));
  runtime.onDisk.set(at.idOf("logs"), { writableBytes: 9 * MiB, logBytes: 2 * MiB });
  fillVolume(at, "volume");
  const full = { ...disk, availableBytes: 14 * GiB };
  machine.load = { ...plenty, disk: full, images: full };
  const stopped: string[] = [];
  runtime.onStop = ({ role, podName }) => {
    if (role === "container" && stopped.push(podName) === 2) machine.load = plenty;
  };
  for (let turn = 0; turn < 50 && stopped.length < 2; turn += 1) {
    await clock.advance(1000);
    await Bun.sleep(20);
  }
  await clock.advance(1000);
  expect(stopped).toEqual(["volume", "logs"]);
  expect(phases(at, "logs", "volume", "quiet")).toEqual(["Failed", "Failed", "Running"]);
  expect(edge.status("uid-volume")?.message).toBe(
    "The node was low on resource: ephemeral-storage. Threshold quantity: 15Gi, available: 14Gi. ",
  );
  expect(edge.status("uid-logs")?.message).toBe(
    "The node was low on resource: ephemeral-storage. Threshold quantity: 15Gi, available: 14Gi. " +
      "Container c was using 11Mi, request is 0, has larger consumption of ephemeral-storage. ",
  );
});

test("the pod with most processes goes first when those are short", async () => {
  await using at = await world({ hard: { "pid.available": "1000" } });
  const { edge, clock, runtime, machine } = at;
  await run(at, podOf("few"), podOf("bomb"));
  at.uses("few", 0, 5);
  at.uses("bomb", 0, 20_000);
  machine.load = { ...plenty, processes: 32_000 };
  runtime.onStop = () => (machine.load = plenty);
  await clock.advance(4000);
  expect(phases(at, "few", "bomb")).toEqual(["Running", "Failed"]);
  expect(edge.status("uid-bomb")?.message).toBe(
    "The node was low on resource: pids. Threshold quantity: 1k, available: 768. ",
  );
});

const limited: readonly [string, Pod, string][] = [
  [
    "emptyDir",
    podOf("a", { volumes: [{ name: "v", emptyDir: { sizeLimit: "4Mi" } }] }),
    'Usage of EmptyDir volume "v" exceeds the limit "4Mi". ',
  ],
  [
    "container",
    podOf("a", { limits: { "ephemeral-storage": "6144Ki" } }),
    "Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. ",
  ],
];

test.each(limited)("a pod that exceeds the limit of its %s is evicted", async (_what, pod, message) => {
  await using at = await world({});
  const { edge, clock, runtime } = at;
  await run(at, pod);
  runtime.onDisk.set(at.idOf("a"), { writableBytes: 7 * MiB, logBytes: 0 });
  const volume = join(at.dataDir, "pods/uid-a/volumes/v");
  mkdirSync(volume, { recursive: true });
  writeFileSync(join(volume, "file"), Buffer.alloc(5 * MiB, 1));
  for (let turn = 0; turn < 50 && edge.status("uid-a")?.phase !== "Failed"; turn += 1) {
    await clock.advance(1000);
    await Bun.sleep(20);
  }
  const status = edge.status("uid-a");
  expect([status?.reason, status?.message]).toEqual(["Evicted", message]);
  expect(status?.conditions?.some(({ type }) => type === "DisruptionTarget")).toBe(false);
});

test("a container that exceeds its own limit is named, where the pod as a whole has room", async () => {
  await using at = await world({});
  const { edge, clock, runtime } = at;
  const limits = (amount: string) => ({ limits: { "ephemeral-storage": amount } });
  const containers = [
    { name: "c", image: "web:1", resources: limits("1Mi") },
    { name: "d", image: "web:1", resources: limits("1Gi") },
  ];
  await run(at, podOf("a", { containers }));
  runtime.onDisk.set(at.idOf("a"), { writableBytes: MiB, logBytes: 1 });
  for (let turn = 0; turn < 50 && edge.status("uid-a")?.phase !== "Failed"; turn += 1)
    await clock.advance(1000);
  expect(edge.status("uid-a")?.message).toBe(
    'Container c exceeded its local ephemeral storage limit "1Mi". ',
  );
});

test("before pods are ended for the disk, those that have ended give up their containers and files", async () => {
  await using at = await world();
  const { edge, clock, runtime, machine, dataDir } = at;
  await run(at, podOf("done", { restartPolicy: "Never" }), podOf("web"));
  runtime.exit(at.idOf("done"), 0);
  await clock.advance(1000);
  expect(phases(at, "done", "web")).toEqual(["Succeeded", "Running"]);
  const full = { ...disk, availableBytes: 14 * GiB };
  machine.load = { ...plenty, disk: full, images: full };
  runtime.onRemove = () => (machine.load = plenty);
  await clock.advance(10_000);
  expect(runtime.specs().map(({ identity }) => identity.podName)).toEqual(["web", "web"]);
  expect([phases(at, "done", "web"), existsSync(join(dataDir, "pods/uid-done"))]).toEqual([
    ["Succeeded", "Running"],
    false,
  ]);
  expect(edge.reasons()).not.toContain("Evicted");
});

test("no pod is evicted for the disk while the engine is away", async () => {
  await using at = await world();
  const { clock, runtime, machine } = at;
  await run(at, podOf("web"));
  runtime.diskUsage = () => Promise.reject(new UnavailableError("engine-away", "the engine is away"));
  const full = { ...disk, availableBytes: 1 };
  machine.load = { ...plenty, disk: full, images: full };
  await clock.advance(60_000);
  expect(phases(at, "web")).toEqual(["Running"]);
});

test("a pod is evicted for the disk also when the engine cannot say what its containers take", async () => {
  await using at = await world();
  const { clock, runtime, machine } = at;
  await run(at, podOf("web"));
  runtime.diskUsage = () => Promise.reject(new Error("the engine is busy"));
  const full = { ...disk, availableBytes: 1 };
  machine.load = { ...plenty, disk: full, images: full };
  runtime.onStop = () => (machine.load = plenty);
  await clock.advance(10_000);
  expect(phases(at, "web")).toEqual(["Failed"]);
});
