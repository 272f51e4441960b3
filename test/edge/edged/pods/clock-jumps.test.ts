import { expect, test } from "bun:test";
import type { Pod, PodSpec } from "#shared/kube";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const yearMs = 365 * 86_400_000;

async function world(spec: Partial<PodSpec> = {}) {
  const dir = tempDir("clock");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  await edge.start(runtime, clock, { dataDir: dir.path });
  const pod: Pod = {
    metadata: { name: "web", namespace: "default", uid: "uid-web" },
    spec: { containers: [{ name: "c", image: "web:1" }], ...spec },
  };
  await edge.apply(pod);
  await clock.advance(0);
  const status = () => edge.status("uid-web");
  const crash = async (): Promise<void> => {
    const [latest] = (await runtime.list("uid-web")).filter(
      ({ phase, identity }) => phase === "running" && identity.role === "container",
    );
    runtime.exit(latest?.id ?? "", 1);
    await clock.advance(0);
  };
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, status, crash, [Symbol.asyncDispose]: dispose };
}

test.each([yearMs, -yearMs])(
  "a deadline is counted in time that passes, when the clock is set by %d ms",
  async (ms) => {
    await using at = await world({ activeDeadlineSeconds: 60 });
    await at.clock.advance(30_000);
    at.clock.jump(ms);
    await at.clock.advance(20_000);
    expect(at.status()?.phase).toBe("Running");
    await at.clock.advance(15_000);
    expect([at.status()?.phase, at.status()?.reason]).toEqual(["Failed", "DeadlineExceeded"]);
  },
);

test.each([yearMs, -yearMs])(
  "a container that crashed starts again when the clock is set by %d ms meanwhile",
  async (ms) => {
    await using at = await world();
    await at.crash();
    await at.crash();
    expect(at.status()?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("CrashLoopBackOff");
    at.clock.jump(ms);
    await at.clock.advance(15_000);
    expect([at.status()?.phase, at.status()?.containerStatuses?.[0]?.restartCount]).toEqual(["Running", 2]);
  },
);

test.each([yearMs, -yearMs])(
  "probes go on, and the Node and its lease are reported, when the clock is set by %d ms",
  async (ms) => {
    const readinessProbe = { exec: { command: ["ready"] }, initialDelaySeconds: 5, periodSeconds: 5 };
    await using at = await world({ containers: [{ name: "c", image: "web:1", readinessProbe }] });
    const { edge, clock, runtime } = at;
    runtime.commands.set("ready", { exitCode: 1, output: "no" });
    edge.cloud = () => ({ Object: { metadata: { uid: "u", resourceVersion: "1", labels: {} } }, Err: null });
    await edge.link(true);
    await clock.advance(20_000);
    clock.jump(ms);
    const before = edge.requests.filter(({ resource }) => resource.includes("lease")).length;
    runtime.commands.set("ready", { exitCode: 0, output: "" });
    await clock.advance(25_000);
    expect(at.status()?.containerStatuses?.[0]?.ready).toBe(true);
    const leases = edge.requests.filter(({ resource }) => resource.includes("lease")).length - before;
    expect(leases).toBeGreaterThanOrEqual(2);
  },
);
