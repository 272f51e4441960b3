import { expect, test } from "bun:test";
import type { CommandResult, ContainerDetails } from "#edge/runtime";
import { containerSpec, sandboxSpec } from "#internal/edge/edged/pods/container-spec.ts";
import { PodState } from "#internal/edge/edged/pods/state.ts";
import { PodStopper } from "#internal/edge/edged/pods/stop.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import type { Container, Pod } from "#shared/kube";

/** A runtime whose calls are listed, whose commands take some seconds, and whose stops wait. */
class SlowRuntime extends FakeRuntime {
  readonly done: string[] = [];
  readonly #clock: FakeClock;
  commandMs = 0;
  stopped: Promise<void> = Promise.resolve();

  constructor(clock: FakeClock) {
    super(clock);
    this.#clock = clock;
  }

  override async runCommand(id: string, command: readonly string[]): Promise<CommandResult> {
    this.done.push(command.join(" "));
    if (this.commandMs > 0) await this.#clock.sleep(this.commandMs);
    return super.runCommand(id, command);
  }

  override async stop(id: string, graceSeconds = 0): Promise<void> {
    this.done.push(`stop with ${graceSeconds} s`);
    await this.stopped;
    await super.stop(id);
  }
}

async function running(over: Partial<Container>, graceSeconds: number) {
  const clock = new FakeClock();
  const runtime = new SlowRuntime(clock);
  runtime.addImage("app:1");
  const container: Container = { name: "c", image: "app:1", ...over };
  const pod: Pod = {
    metadata: { name: "web", namespace: "default", uid: "u" },
    spec: { terminationGracePeriodSeconds: graceSeconds, containers: [container] },
  };
  const facts = () => ({ nodeName: "n", hostIp: "192.0.2.1", allocatable: {} });
  const state = new PodState(pod, { runtime, clock, facts });
  const security = { allowedUnsafeSysctls: [], seccompDir: "", appArmor: false };
  const dns = { servers: [], domain: "" };
  const sandbox = sandboxSpec(pod, { attempt: 0, dns, security });
  const { id: sandboxId } = await runtime.runSandbox(sandbox);
  const given = {
    role: "container",
    attempt: 0,
    env: new Map<string, string>(),
    mounts: [],
    imageUser: "",
    limits: { memoryBytes: 2 ** 30, processes: undefined },
  } as const;
  const id = await runtime.create(containerSpec(pod, container, { ...given, sandboxId, sandbox, security }));
  await runtime.start(id);
  await state.containers.observe();
  const events: string[] = [];
  const reporter = { record: (_: unknown, event: { message: string }) => void events.push(event.message) };
  const { signal } = new AbortController();
  const stopper = new PodStopper(state, { runtime, clock, log: silentLog(), reporter, signal });
  const target = state.containers.find(id) as ContainerDetails;
  return { clock, runtime, state, stopper, target, container, pod, events };
}

const preStop = (command: string): Partial<Container> => ({
  lifecycle: { preStop: { exec: { command: [command] } } },
});

test("stopper gives the whole grace period to a container without a hook", async () => {
  const { stopper, target, runtime, events } = await running({}, 30);
  await stopper.stop(target, "deleted");
  expect([runtime.done, events]).toEqual([["stop with 30 s"], ["Stopping container c"]]);
});

test.each([
  [10, 30, 20],
  [29.5, 30, 2],
  [100, 30, 2],
  [5, 1, 1],
])("stopper: a preStop hook of %p s leaves of a grace period of %p s %p s", async (hookS, graceS, leftS) => {
  const { stopper, target, runtime, clock } = await running(preStop("drain"), graceS);
  runtime.commandMs = hookS * 1000;
  const stopped = stopper.stop(target, "deleted");
  await clock.advance(100_000);
  await stopped;
  expect(runtime.done).toEqual(["drain", `stop with ${leftS} s`]);
});

test("stopper skips the hook when there is no grace period", async () => {
  const { stopper, target, runtime } = await running(preStop("drain"), 0);
  await stopper.stop(target, "deleted");
  expect(runtime.done).toEqual(["stop with 0 s"]);
});

test("stopper shortens a stop under way when the pod is deleted with less grace, and never lengthens it", async () => {
  const { stopper, target, runtime, state, pod } = await running({}, 30);
  const gate = Promise.withResolvers<void>();
  runtime.stopped = gate.promise;
  const deletion = (seconds: number): Pod => ({
    ...pod,
    metadata: {
      ...pod.metadata,
      deletionTimestamp: "2026-01-01T00:00:00Z",
      deletionGracePeriodSeconds: seconds,
    },
  });
  state.pod = deletion(20);
  stopper.shortenGrace();
  const stopped = stopper.stop(target, "deleted");
  for (const seconds of [25, 5]) {
    state.pod = deletion(seconds);
    stopper.shortenGrace();
  }
  gate.resolve();
  await stopped;
  expect(runtime.done).toEqual(["stop with 20 s", "stop with 5 s"]);
});

test("stopper stops a container whose postStart hook fails, and reports it", async () => {
  const lifecycle = { postStart: { exec: { command: ["warm-up"] } } };
  const { stopper, target, runtime, container } = await running({ lifecycle }, 7);
  runtime.commands.set("warm-up", { exitCode: 3, output: "no cache" });
  expect(await stopper.runPostStart(target.id, container)).toEqual({
    type: "Warning",
    reason: "FailedPostStartHook",
    message: "PostStartHook failed: command exited with 3: no cache",
  });
  expect(runtime.done).toEqual(["warm-up", "stop with 7 s"]);
});

test("stopper reports a preStop hook that fails, and stops the container all the same", async () => {
  const { stopper, target, runtime, events } = await running(preStop("drain"), 30);
  runtime.commands.set("drain", { exitCode: 1, output: "busy" });
  await stopper.stop(target, "deleted");
  expect(events).toEqual(["Stopping container c", "PreStopHook failed: command exited with 1: busy"]);
  expect(runtime.done).toEqual(["drain", "stop with 30 s"]);
});

test("stopper: a hook of tcpSocket fails, as in kubelet", async () => {
  const lifecycle = { postStart: { tcpSocket: { port: 80 } } };
  const { stopper, target, container } = await running({ lifecycle }, 7);
  expect((await stopper.runPostStart(target.id, container))?.message).toBe(
    "PostStartHook failed: Cannot run handler: invalid handler: tcpSocket",
  );
});

test.each([
  ["liveness", 3, undefined, 3],
  ["startup", undefined, undefined, 30],
  ["liveness", 40, 20, 20],
] as const)(
  "stopper: a failed %s probe with its own grace of %p s, in a deletion with %p s, gives %p s",
  async (kind, ofProbe, ofDeletion, expected) => {
    const { stopper, target, runtime, state, pod, events } = await running({}, 30);
    if (ofDeletion !== undefined) {
      const deletion = {
        deletionTimestamp: "2026-01-01T00:00:00Z",
        deletionGracePeriodSeconds: ofDeletion,
      };
      state.pod = { ...pod, metadata: { ...pod.metadata, ...deletion } };
      stopper.shortenGrace();
    }
    const probe = ofProbe === undefined ? {} : { terminationGracePeriodSeconds: ofProbe };
    await stopper.stop(target, "unhealthy", { kind, probe });
    expect(runtime.done).toEqual([`stop with ${expected} s`]);
    expect(events).toEqual([`Container c failed ${kind} probe, will be restarted`]);
  },
);
