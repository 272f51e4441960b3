import { expect, test } from "bun:test";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod, PodSpec, PodStatus } from "#shared/kube";

async function world(prepare?: (at: { edge: EdgedHarness; runtime: FakeRuntime }) => void) {
  const dir = tempDir("edged");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  prepare?.({ edge, runtime });
  await edge.start(runtime, clock, { dataDir: dir.path });
  await clock.advance(0);
  const restart = async (): Promise<void> => {
    await edge.stop();
    await edge.start(runtime, clock, { dataDir: dir.path });
    await clock.advance(0);
  };
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, restart, [Symbol.asyncDispose]: dispose };
}

interface Given extends Partial<PodSpec> {
  readonly hostPort?: number;
  readonly hostIP?: string;
  readonly cpu?: string;
  readonly made?: string;
  readonly shown?: PodStatus;
}

function podOf(name: string, { hostPort, hostIP, cpu, made, shown, ...spec }: Given = {}): Pod {
  const port = { containerPort: 80, hostPort, ...(hostIP !== undefined && { hostIP }) };
  const container = {
    name: "c",
    image: "web:1",
    ...(hostPort !== undefined && { ports: [port] }),
    ...(cpu !== undefined && { resources: { requests: { cpu } } }),
  };
  return {
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${name}`,
      ...(made !== undefined && { creationTimestamp: made }),
    },
    spec: { containers: [container], ...spec } as PodSpec,
    ...(shown && { status: shown }),
  };
}

const portsText = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";

test("a pod whose host port another one has is refused as kubelet refuses it, and starts nothing", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.apply(podOf("first", { hostPort: 8080 }));
  await clock.advance(0);
  await edge.apply(podOf("second", { hostPort: 8080 }));
  await clock.advance(0);
  expect(edge.status("uid-second")).toEqual({
    phase: "Failed",
    reason: "NodePorts",
    message: `Pod was rejected: ${portsText}`,
    qosClass: "BestEffort",
  });
  expect(edge.events.at(-1)).toMatchObject({ type: "Warning", reason: "NodePorts", message: portsText });
  expect(edge.status("uid-first")?.phase).toBe("Running");
  expect(runtime.specs().filter(({ identity }) => identity.podUid === "uid-second")).toEqual([]);
});

test("another address of the host is another port, and so is the other protocol", async () => {
  await using at = await world();
  const { edge, clock } = at;
  await edge.apply(podOf("first", { hostPort: 8080, hostIP: "127.0.0.1" }));
  await edge.apply(podOf("second", { hostPort: 8080, hostIP: "127.0.0.2" }));
  await edge.apply(podOf("third", { hostPort: 8080 }));
  await clock.advance(0);
  const phases = ["first", "second", "third"].map((name) => edge.status(`uid-${name}`)?.phase);
  expect(phases).toEqual(["Running", "Running", "Failed"]);
});

test("the port of a pod that has ended, or is being deleted, refuses nobody", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.apply(podOf("job", { hostPort: 8080, restartPolicy: "Never" }));
  await clock.advance(0);
  const main = (await runtime.list()).find(({ identity }) => identity.container === "c");
  runtime.exit(main?.id ?? "", 0);
  await clock.advance(1000);
  expect(edge.status("uid-job")?.phase).toBe("Succeeded");
  await edge.apply(podOf("second", { hostPort: 8080 }));
  await clock.advance(0);
  expect(edge.status("uid-second")?.phase).toBe("Running");
  const second = podOf("second", { hostPort: 8080 });
  second.metadata.deletionTimestamp = "2026-01-01T00:00:00Z";
  await edge.apply(second);
  await edge.apply(podOf("third", { hostPort: 8080 }));
  await clock.advance(60_000);
  expect(edge.status("uid-third")?.phase).toBe("Running");
});

test("a pod that asks for more than the node has left is refused with the amounts", async () => {
  await using at = await world();
  await at.edge.apply(podOf("large", { cpu: "100000" }));
  await at.clock.advance(0);
  const { reason, message } = at.edge.status("uid-large") ?? {};
  expect(reason).toBe("OutOfcpu");
  expect(message).toMatch(
    /^Pod was rejected: Node didn't have enough resource: cpu, requested: 100000000, used: 0, capacity: \d+000$/,
  );
});

test("a resource that the node does not count refuses nobody", async () => {
  await using at = await world();
  const requests = { "example.com/dongle": "1" };
  await at.edge.apply(podOf("p", { containers: [{ name: "c", image: "web:1", resources: { requests } }] }));
  await at.clock.advance(0);
  expect(at.edge.status("uid-p")?.phase).toBe("Running");
});

const shown = (status: Partial<PodStatus>): PodStatus => ({
  phase: "Running",
  startTime: "2026-01-01T00:00:00Z",
  ...status,
});

test("pods that ran before are not refused when edgecore starts again, whatever they take", async () => {
  await using at = await world(({ edge }) => {
    edge.pods.set("uid-b", podOf("b", { hostPort: 8080, cpu: "100000", shown: shown({}) }));
    edge.pods.set("uid-a", podOf("a", { hostPort: 8080, cpu: "100000", shown: shown({}) }));
  });
  const phases = ["a", "b"].map((name) => at.edge.status(`uid-${name}`)?.phase);
  expect(phases).toEqual(["Running", "Running"]);
});

test("of new pods that were stored the oldest is admitted", async () => {
  await using at = await world(({ edge }) => {
    edge.pods.set("uid-b", podOf("b", { hostPort: 8080, made: "2026-01-02T00:00:00Z" }));
    edge.pods.set("uid-a", podOf("a", { hostPort: 8080, made: "2026-01-01T00:00:00Z" }));
  });
  const phases = ["a", "b"].map((name) => at.edge.status(`uid-${name}`)?.phase);
  expect(phases).toEqual(["Running", "Failed"]);
});

test.each([
  ["was refused", shown({ phase: "Failed", reason: "NodePorts" })],
  ["has ended and left no container", shown({ phase: "Succeeded" })],
])("a pod that %s does not run when edgecore starts again", async (_what, status) => {
  await using at = await world(({ edge }) => {
    edge.pods.set("uid-p", podOf("p", { restartPolicy: "Never", shown: status }));
  });
  await at.clock.advance(60_000);
  expect([at.runtime.specs(), at.edge.status("uid-p")]).toEqual([[], undefined]);
});

test("what still runs of a pod that has ended is stopped when edgecore starts again", async () => {
  await using at = await world();
  const { edge, clock, runtime, restart } = at;
  await edge.apply(podOf("p"));
  await clock.advance(0);
  edge.pods.set("uid-p", podOf("p", { shown: shown({ phase: "Failed", reason: "DeadlineExceeded" }) }));
  await restart();
  await clock.advance(60_000);
  expect((await runtime.list()).map(({ phase }) => phase)).toEqual(["exited", "exited"]);
});

const affinity = (disk: string): Pick<PodSpec, "nodeSelector"> => ({ nodeSelector: { disk } });

/** A cloud that has the Node with these labels. */
function cloudWith(edge: EdgedHarness, labels: Record<string, string>): void {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "edge-1", uid: "n", labels }, spec: {} };
  edge.cloud = ({ operation }) => (operation === "query" ? node : { Object: node, Err: null });
}

test("a pod that selects other nodes is refused, one that selects a label that was just set is not", async () => {
  await using at = await world(({ edge }) => cloudWith(edge, { disk: "hdd" }));
  const { edge, clock } = at;
  await edge.link(true);
  await clock.advance(0);
  await edge.apply(podOf("other", affinity("ssd")));
  await clock.advance(0);
  expect(edge.status("uid-other")).toMatchObject({
    reason: "NodeAffinity",
    message:
      "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  });
  cloudWith(edge, { disk: "ssd" });
  await edge.apply(podOf("fresh", affinity("ssd")));
  await clock.advance(0);
  expect(edge.status("uid-fresh")?.phase).toBe("Running");
});
