import { expect, test } from "bun:test";
import { systemClock, type Clock } from "#shared/clock";
import type { Container, Pod, PodSpec } from "#shared/kube";
import { EdgedHarness } from "#internal/test/support/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const yearMs = 365 * 86_400_000;

/** A wall clock that can be set, as by NTP on a machine whose clock was wrong; what is measured goes on evenly. */
class SettableClock implements Clock {
  readonly steady = new FakeClock();
  aheadMs = 0;
  nowMs = (): number => this.steady.nowMs() + this.aheadMs;
  monotonicMs = (): number => this.steady.monotonicMs();
  random = (): number => this.steady.random();
  sleep: Clock["sleep"] = (ms, options) => this.steady.sleep(ms, options);
  after: Clock["after"] = (ms, run) => this.steady.after(ms, run);
  every: Clock["every"] = (ms, run) => this.steady.every(ms, run);
}

async function world() {
  const dir = tempDir("edged");
  const clock = new SettableClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  const start = () => edge.start(runtime, clock, { dataDir: dir.path });
  await start();
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, start, [Symbol.asyncDispose]: dispose };
}

function podOf(container: Partial<Container>, spec: Partial<PodSpec> = {}): Pod {
  const containers = [{ name: "c", image: "web:1", ...container }];
  return { metadata: { name: "web", namespace: "default", uid: "uid-web" }, spec: { containers, ...spec } };
}

test("edged tries a failed pull again within minutes when the clock was a year ahead and is set back", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  clock.aheadMs = yearMs;
  await edge.apply(podOf({ image: "new:1" }));
  await clock.steady.advance(0);
  expect(edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("ErrImagePull");
  clock.aheadMs = 0;
  runtime.registry.add("new:1");
  await clock.steady.advance(300_000);
  expect(edge.status("uid-web")?.phase).toBe("Running");
});

test("edged restarts a crashed container within minutes when the clock was a year ahead and is set back", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  clock.aheadMs = yearMs;
  await edge.apply(podOf({}));
  await clock.steady.advance(0);
  const crash = async (): Promise<void> => {
    const running = (await runtime.list()).find(
      (one) => one.identity.container === "c" && one.phase === "running",
    );
    runtime.exit(running?.id ?? "", 1);
    await clock.steady.advance(0);
  };
  await crash();
  await crash();
  expect(edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting?.reason).toBe("CrashLoopBackOff");
  clock.aheadMs = 0;
  await clock.steady.advance(300_000);
  const status = edge.status("uid-web")?.containerStatuses?.[0];
  expect([status?.restartCount, status?.state?.running !== undefined]).toEqual([2, true]);
});

test("edged probes a container that an earlier edgecore started when the clock was set back a year meanwhile", async () => {
  await using at = await world();
  const { edge, clock, runtime, start } = at;
  runtime.commands.set("check", { exitCode: 0, output: "" });
  const readinessProbe = { exec: { command: ["check"] }, periodSeconds: 1 };
  clock.aheadMs = yearMs;
  await edge.apply(podOf({ readinessProbe: { ...readinessProbe, initialDelaySeconds: 5 } }));
  await clock.steady.advance(0);
  await edge.stop();
  clock.aheadMs = 0;
  await start();
  await clock.steady.advance(10_000);
  expect(edge.status("uid-web")?.containerStatuses?.[0]?.ready).toBe(true);
});

test.each([
  ["2147483647", 2_147_483_647, 1],
  ["0", 0, 4],
])(
  "edged probes %s s apart when a pod says so, 0 being ten seconds",
  async (_what, periodSeconds, expected) => {
    await using at = await world();
    const { edge, clock, runtime } = at;
    let probes = 0;
    const exec = runtime.exec.bind(runtime);
    runtime.exec = async (...call) => {
      probes += 1;
      return exec(...call);
    };
    runtime.commands.set("check", { exitCode: 0, output: "" });
    await edge.apply(podOf({ livenessProbe: { exec: { command: ["check"] }, periodSeconds } }));
    await clock.steady.advance(0);
    await clock.steady.advance(35_000);
    expect(probes).toBe(expected);
  },
);

test.each([2 ** 31, 1e13])("a wait of %d ms of the system's clock does not end at once", async (ms) => {
  let ran = false;
  using _after = systemClock.after(ms, () => (ran = true));
  using _every = systemClock.every(ms, () => (ran = true));
  const stop = new AbortController();
  const slept = systemClock.sleep(ms, { signal: stop.signal }).then(
    () => "slept",
    () => "aborted",
  );
  await systemClock.sleep(50);
  stop.abort();
  expect([ran, await slept]).toEqual([false, "aborted"]);
});
