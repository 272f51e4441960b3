import { expect, test } from "bun:test";
import { join } from "node:path";
import { EdgeFigures, type ServedFigures } from "#edge/meta-manager/figures";
import { openStore, type Store } from "#edge/store";
import { Bus } from "#shared/bus";
import type { EdgeCatalog } from "#shared/topics";
import type { ContainerCounters } from "#shared/usage";
import { readExposition, type ReadSample } from "#internal/test/support/exposition.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface World extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly store: Store;
  readonly served: ServedFigures;
  readonly bus: Bus<EdgeCatalog>;
  readonly read: (part: string) => Promise<readonly ReadSample[]>;
}

async function world(containers: readonly ContainerCounters[] = []): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(tempDir());
  const clock = new FakeClock();
  const store = stack.use(openStore(join(path, "edge.db"), { nowMs: clock.nowMs(), log: silentLog() }));
  const figures = new EdgeFigures(clock);
  const bus = stack.use(
    new Bus<EdgeCatalog>({ onFailure: () => undefined, onMessage: figures.countMessage }),
  );
  const node = { cpuNanoseconds: 3e9, workingSetBytes: 1000 };
  const edged = bus.port<never, never, never, "usage.measure">("edged");
  stack.use(edged.answer("usage.measure", async () => ({ atMs: 0, node, containers })));
  const served = stack.use(figures.serve({ port: bus.port("figures"), store }));
  const owned = stack.move();
  return {
    clock,
    store,
    served,
    bus,
    read: async (part) => readExposition((await served.answer(part)) ?? ""),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const container = (pod: string, podUid: string, cpuNanoseconds: number): ContainerCounters => ({
  id: podUid,
  container: "web",
  pod,
  namespace: "default",
  podUid,
  cpuNanoseconds,
  workingSetBytes: 1,
  usageBytes: 4,
  rssBytes: 2,
  cacheBytes: 3,
});

function valueOf(samples: readonly ReadSample[], wanted: string): number | undefined {
  return samples.find(({ name }) => name === wanted)?.value;
}

test("containers are shown with the names and labels of kubelet", async () => {
  await using at = await world([container("p", "u1", 2e9)]);
  const labels = { namespace: "default", pod: "p", container: "web" };
  expect(await at.read("cadvisor")).toEqual([
    { name: "container_cpu_usage_seconds_total", labels, value: 2 },
    { name: "container_memory_working_set_bytes", labels, value: 1 },
    { name: "container_memory_usage_bytes", labels, value: 4 },
    { name: "container_memory_rss", labels, value: 2 },
    { name: "container_memory_cache", labels, value: 3 },
  ]);
});

test("two pods of one name are shown once", async () => {
  await using at = await world([container("p", "u1", 2e9), container("p", "u2", 1e9)]);
  expect(valueOf(await at.read("cadvisor"), "container_cpu_usage_seconds_total")).toBe(1);
});

test("the node is shown with its containers", async () => {
  await using at = await world();
  expect(valueOf(await at.read("resource"), "node_cpu_usage_seconds_total")).toBe(3);
});

test("the outbox is shown with the age of its oldest message", async () => {
  await using at = await world();
  expect(valueOf(await at.read(""), "kubeedge_outbox_oldest_seconds")).toBe(0);
  const message = JSON.stringify({ header: { timestamp: at.clock.nowMs() - 5000 }, content: "" });
  at.store.outbox.put("status", undefined, message);
  const shown = await at.read("");
  expect(valueOf(shown, "kubeedge_outbox_oldest_seconds")).toBe(5);
  expect(valueOf(shown, "kubeedge_outbox_messages")).toBe(1);
});

test("the link and messages are counted", async () => {
  await using at = await world();
  const hub = at.bus.port<"link.changed">("hub");
  await hub.emit("link.changed", { connected: true, reason: "test" });
  const shown = await at.read("");
  expect(valueOf(shown, "kubeedge_link_connected")).toBe(1);
  expect(shown.filter(({ labels }) => labels["topic"] === "link.changed").map(({ value }) => value)).toEqual([
    1,
  ]);
});

test("pages that are read within a second share a measurement", async () => {
  await using at = await world();
  const asked = async (): Promise<number | undefined> =>
    (await at.read("")).find(({ labels }) => labels["topic"] === "usage.measure")?.value;
  await at.read("cadvisor");
  await at.read("resource");
  expect(await asked()).toBe(1);
  await at.clock.advance(1000);
  await at.read("cadvisor");
  expect(await asked()).toBe(2);
});

test("there is no other part", async () => {
  await using at = await world();
  expect(await at.served.answer("probes")).toBeUndefined();
});
