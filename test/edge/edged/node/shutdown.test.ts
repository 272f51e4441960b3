import { expect, test } from "bun:test";
import type { Node, Pod, PodSpec } from "#shared/kube";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const podOf = (name: string, spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name, namespace: "default", uid: `uid-${name}` },
  spec: { containers: [{ name: "c", image: "web:1" }], ...spec },
});

async function world() {
  const dir = tempDir("shutdown");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  edge.cloud = () => ({ Object: { metadata: { uid: "u", resourceVersion: "1", labels: {} } }, Err: null });
  const start = async (): Promise<void> => {
    await edge.start(runtime, clock, {
      dataDir: dir.path,
      shutdown: { graceSeconds: 30, criticalSeconds: 10 },
    });
    await clock.advance(0);
  };
  await start();
  await edge.link(true);
  await edge.apply(podOf("web", { terminationGracePeriodSeconds: 5 }));
  await edge.apply(podOf("slow", { terminationGracePeriodSeconds: 600 }));
  await edge.apply(podOf("job", { restartPolicy: "Never" }));
  await edge.apply(podOf("network", { priority: 2_000_001_000 }));
  await clock.advance(1000);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, start, [Symbol.asyncDispose]: dispose };
}

test("pods end when the machine shuts down, critical ones last, each with its grace period or what is left", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  const stopped: string[] = [];
  runtime.onStop = ({ role, podName }, grace) => {
    if (role === "container") stopped.push(`${podName} ${grace}`);
  };
  await clock.until(edge.shutDown());
  expect([stopped.slice(0, 3).toSorted(), stopped.slice(3)]).toEqual([
    ["job 20", "slow 20", "web 5"],
    ["network 10"],
  ]);
  const patches = edge.requests.filter(({ resource }) => resource.includes("nodepatch"));
  const { status } = JSON.parse(String(patches.at(-1)?.content)) as Node;
  expect(status?.conditions?.find(({ type }) => type === "Ready")).toMatchObject({
    status: "False",
    reason: "KubeletNotReady",
    message: "node is shutting down",
  });
});

test("pods that may restart run again after the boot, those that may not have failed in kubelet's words", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await clock.until(edge.shutDown());
  await clock.advance(20_000);
  const running = async (): Promise<number> =>
    (await runtime.list()).filter(({ phase }) => phase === "running").length;
  const job = edge.status("uid-job");
  expect([await running(), job?.phase, job?.reason, job?.message]).toEqual([
    0,
    "Failed",
    "Terminated",
    "Pod was terminated in response to imminent node shutdown.",
  ]);
  expect(job?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason).toBe(
    "TerminationByKubelet",
  );
  await edge.stop();
  for (const [uid, pod] of edge.pods) {
    const status = edge.status(uid);
    if (status) edge.pods.set(uid, { ...pod, status });
  }
  await at.start();
  await clock.advance(20_000);
  expect(["web", "slow", "network"].map((name) => edge.status(`uid-${name}`)?.phase)).toEqual([
    "Running",
    "Running",
    "Running",
  ]);
  expect(await running()).toBe(6);
});

test("a pod that comes while the machine shuts down is not lost", async () => {
  await using at = await world();
  const { edge, clock } = at;
  await clock.until(edge.shutDown());
  await edge.apply(podOf("late"));
  await edge.stop();
  await at.start();
  await clock.advance(5000);
  expect(edge.status("uid-late")?.phase).toBe("Running");
});
