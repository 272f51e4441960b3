import { expect, test } from "bun:test";
import { cpus } from "node:os";
import type { Condition, Container, ContainerStatus, Pod, PodStatus } from "#shared/kube";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

async function world() {
  const dir = tempDir("resize");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  const start = (): Promise<void> => edge.start(runtime, clock, { dataDir: dir.path });
  await start();
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  const apply = async (pod: Pod): Promise<void> => {
    await edge.apply(pod);
    await clock.advance(100);
  };
  const shown = (name = "web"): ContainerStatus | undefined =>
    edge.status(`uid-${name}`)?.containerStatuses?.[0];
  const conditions = (name = "web"): Partial<Condition>[] =>
    (edge.status(`uid-${name}`)?.conditions ?? [])
      .filter(({ type }) => type.startsWith("PodResize"))
      .map(({ type, status, reason }) => ({ type, status, ...(reason && { reason }) }));
  return { edge, clock, runtime, apply, start, shown, conditions, [Symbol.asyncDispose]: dispose };
}

const whole = (name: string, resources: Container["resources"], more: Partial<Container> = {}): Pod => ({
  metadata: { name, namespace: "default", uid: `uid-${name}` },
  spec: { containers: [{ name: "c", image: "web:1", ...(resources && { resources }), ...more }] },
});
const amounts = (cpu: string, memory = "64Mi"): NonNullable<Container["resources"]> => ({
  limits: { cpu, memory },
  requests: { cpu, memory },
});
const web = (resources: Container["resources"], more: Partial<Container> = {}): Pod =>
  whole("web", resources, more);

test("a container gets other resources while it runs, and its status says so", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m")));
  const before = [at.shown()?.resources, at.shown()?.allocatedResources];
  await at.apply(web(amounts("200m", "128Mi")));
  const { resources, allocatedResources, restartCount, state } = at.shown() ?? {};
  expect(before).toEqual([amounts("100m"), amounts("100m").requests]);
  expect([resources, allocatedResources]).toEqual([
    amounts("200m", "128Mi"),
    amounts("200m", "128Mi").requests,
  ]);
  expect([restartCount, state?.running !== undefined, at.conditions()]).toEqual([0, true, []]);
  expect(at.runtime.updates).toEqual([{ cpuShares: 204, nanoCpus: 2e8, memoryBytes: 128 * 1024 * 1024 }]);
  expect(at.edge.reasons()).toContain("ResizeCompleted");
  expect(at.edge.errors).toEqual([]);
});

test("amounts that are written otherwise are the same, and nothing else of resources is changed", async () => {
  await using at = await world();
  await at.apply(web({ limits: { cpu: "1", memory: "1Gi" } }));
  await at.apply(web({ limits: { cpu: "1000m", memory: "1024Mi" }, requests: { cpu: "1", memory: "1Gi" } }));
  await at.clock.advance(60_000);
  expect(at.runtime.updates).toEqual([]);
});

test("a container whose resizePolicy wants it is started again with its new memory, and not for its cpu", async () => {
  await using at = await world();
  const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
  await at.apply(web(amounts("100m"), { resizePolicy }));
  await at.apply(web(amounts("200m"), { resizePolicy }));
  const first = at.shown()?.restartCount;
  await at.apply(web(amounts("200m", "32Mi"), { resizePolicy }));
  await at.clock.advance(60_000);
  const { resources, restartCount, state } = at.shown() ?? {};
  expect([first, restartCount, state?.running !== undefined]).toEqual([0, 1, true]);
  expect([resources, at.runtime.updates.length]).toEqual([amounts("200m", "32Mi"), 1]);
});

test("what the node never has is Infeasible, and what others have is Deferred until they end", async () => {
  await using at = await world();
  const most = `${cpus().length * 600}m`;
  const other = whole("other", amounts(most));
  await at.apply(other);
  await at.apply(web(amounts("10m")));
  await at.apply(web(amounts("1000")));
  expect([at.edge.status("uid-web")?.resize, at.conditions()]).toEqual([
    "Infeasible",
    [{ type: "PodResizePending", status: "True", reason: "Infeasible" }],
  ]);
  await at.apply(web(amounts(most)));
  expect([at.edge.status("uid-web")?.resize, at.shown()?.allocatedResources?.["cpu"]]).toEqual([
    "Deferred",
    "10m",
  ]);
  const third = whole("third", amounts(`${cpus().length * 300}m`));
  await at.apply(third);
  expect(at.shown("third")?.state?.running !== undefined).toBe(true);
  for (const gone of [other, third])
    await at.apply({ ...gone, metadata: { ...gone.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  await at.clock.advance(60_000);
  expect([at.edge.status("uid-web")?.resize, at.conditions()]).toEqual([undefined, []]);
  expect([at.shown()?.resources, at.shown()?.restartCount]).toEqual([amounts(most), 0]);
  expect(at.edge.reasons().filter((reason) => reason.startsWith("Resize"))).toEqual([
    "ResizeInfeasible",
    "ResizeDeferred",
    "ResizeCompleted",
  ]);
});

test("a change that the engine refuses is shown, tried again, and the container runs on", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m")));
  at.runtime.refuseUpdate = "device or resource busy";
  await at.apply(web(amounts("200m")));
  expect([at.edge.status("uid-web")?.resize, at.conditions(), at.shown()?.resources]).toEqual([
    "InProgress",
    [{ type: "PodResizeInProgress", status: "True", reason: "Error" }],
    amounts("100m"),
  ]);
  at.runtime.refuseUpdate = undefined;
  await at.clock.advance(60_000);
  expect([at.shown()?.resources, at.shown()?.restartCount, at.conditions()]).toEqual([
    amounts("200m"),
    0,
    [],
  ]);
});

test("a change that came while edgecore was down is made when it starts, and one that was made is not made again", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m")));
  await at.apply(web(amounts("200m")));
  for (const [cpu, made] of [
    ["200m", 1],
    ["300m", 2],
  ] as const) {
    const status = at.edge.status("uid-web");
    await at.edge.stop();
    at.edge.pods.set("uid-web", { ...web(amounts(cpu)), ...(status && { status }) });
    await at.start();
    await at.clock.advance(5000);
    expect([at.runtime.updates.length, at.shown()?.resources, at.shown()?.restartCount]).toEqual([
      made,
      amounts(cpu),
      0,
    ]);
  }
});

test("less memory than a container uses is not given to it, until it uses less", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m", "128Mi")));
  const [id = ""] = (await at.runtime.list()).flatMap((one) =>
    one.identity.role === "sandbox" ? [] : [one.id],
  );
  const mib = 1024 * 1024;
  const using = (bytes: number): void => {
    const usage = { cpuNanoseconds: 0, usageBytes: bytes, rssBytes: bytes, cacheBytes: 0 };
    at.runtime.used.set(id, { ...usage, workingSetBytes: bytes });
  };
  using(100 * mib);
  await at.apply(web(amounts("100m", "64Mi")));
  const condition = at.edge.status("uid-web")?.conditions?.find(({ type }) => type === "PodResizeInProgress");
  expect([at.runtime.updates, condition?.reason, condition?.message]).toEqual([
    [],
    "Error",
    `attempting to set pod memory limit (${64 * mib}) below current usage (${100 * mib})`,
  ]);
  using(40 * mib);
  await at.clock.advance(600_000);
  expect(at.runtime.updates.map(({ memoryBytes }) => memoryBytes)).toEqual([64 * mib]);
  expect([at.conditions(), at.shown()?.restartCount]).toEqual([[], 0]);
});

test("a container of a release that reported no resources gets those of its specification once", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m")));
  const status = at.edge.status("uid-web");
  const restart = async (cpu: string, old: PodStatus | undefined): Promise<void> => {
    await at.edge.stop();
    const resizePolicy = [{ resourceName: "cpu", restartPolicy: "RestartContainer" }];
    at.edge.pods.set("uid-web", { ...web(amounts(cpu), { resizePolicy }), ...(old && { status: old }) });
    await at.start();
    await at.clock.advance(5000);
  };
  const containerStatuses = (status?.containerStatuses ?? []).map(({ resources: _unknown, ...one }) => one);
  await restart("300m", { ...status, containerStatuses });
  const first = at.runtime.updates.map(({ nanoCpus }) => nanoCpus);
  await restart("300m", at.edge.status("uid-web"));
  expect([first, at.runtime.updates.length, at.shown()?.restartCount]).toEqual([[3e8], 1, 0]);
  expect([at.shown()?.resources, at.conditions()]).toEqual([amounts("300m"), []]);
  expect(at.edge.reasons()).not.toContain("ResizeCompleted");
});

test("a container of such a release whose engine changes nothing runs on, and is left alone after that", async () => {
  await using at = await world();
  await at.apply(web(amounts("100m")));
  await at.edge.stop();
  at.edge.pods.set("uid-web", web(amounts("100m")));
  at.runtime.refuseUpdate = "no control groups";
  await at.start();
  await at.clock.advance(600_000);
  expect([at.shown()?.restartCount, at.conditions()]).toEqual([0, []]);
  const told = at.edge.events.filter(({ message }) => message.includes("no control groups"));
  expect(told.map(({ count }) => count)).toEqual([1]);
});
