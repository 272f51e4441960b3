import { expect, test } from "bun:test";
import { AppError } from "#shared/errors";
import type { PodEvent } from "#edge/edged/events";
import { ImagePuller, type PullConfig } from "#internal/edge/edged/images/puller.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

function world(config: Partial<PullConfig> = {}) {
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  const events: PodEvent[] = [];
  const log = silentLog();
  const whole = { parallel: 1, idleMs: 60_000, authFile: undefined, mirrors: {}, ...config };
  const puller = new ImagePuller(whole, { runtime, clock, log });
  const pull = (ref: string, signal = new AbortController().signal, dockerConfigs: string[] = []) => {
    runtime.registry.add(ref);
    return puller.pull({ ref, dockerConfigs, record: (event) => events.push(event), signal });
  };
  return { clock, runtime, events, log, pull };
}

/** Holds each pull until it is let go. */
function hold(runtime: FakeRuntime): { readonly running: string[]; readonly release: (ref: string) => void } {
  const running: string[] = [];
  const waiting = new Map<string, () => void>();
  runtime.onPull = async ({ ref }) => {
    running.push(ref);
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(ref, resolve);
    await promise;
    running.splice(running.indexOf(ref), 1);
  };
  return { running, release: (ref) => waiting.get(ref)?.() };
}

test.each([
  [1, [["a"], ["b"], ["c"]]],
  [2, [["a", "b"], ["b", "c"], ["c"]]],
  [0, [["a", "b", "c"], ["b", "c"], ["c"]]],
])("with a limit of %p pulls run as %p", async (parallel, expected) => {
  const { clock, runtime, pull } = world({ parallel });
  const { running, release } = hold(runtime);
  const pulls = ["a", "b", "c"].map((ref) => pull(ref));
  const seen: string[][] = [];
  for (const ref of ["a", "b", "c"]) {
    await clock.advance(1000);
    seen.push([...running]);
    release(ref);
  }
  await Promise.all(pulls);
  expect(seen).toEqual(expected);
});

test("a pull that waits for others reports both times, and one that is aborted leaves the queue", async () => {
  const { clock, runtime, pull } = world();
  const { release } = hold(runtime);
  const first = pull("a");
  const abort = new AbortController();
  const second = pull("b", abort.signal).catch((error: unknown) => error);
  const third = pull("c");
  await clock.advance(1000);
  abort.abort(new AppError("gone", "the pod was deleted"));
  expect(await second).toMatchObject({ message: "the pod was deleted" });
  release("a");
  await first;
  await clock.advance(500);
  release("c");
  expect(await third).toEqual({ pullMs: 500, wholeMs: 1500 });
  expect(runtime.pulls.map(({ ref }) => ref)).toEqual(["a", "c"]);
});

test("a long pull is one Event of a series that says how far it is", async () => {
  const { clock, runtime, events, pull } = world();
  const done = Promise.withResolvers<void>();
  runtime.onPull = async ({ onProgress }) => {
    onProgress?.({ doneBytes: 30e6, totalBytes: 90e6 });
    await clock.sleep(40_000);
    onProgress?.({ doneBytes: 75e6, totalBytes: 90e6 });
    await done.promise;
  };
  const pulled = pull("big:1");
  await clock.advance(60_000);
  done.resolve();
  await pulled;
  await clock.advance(60_000);
  const series = "progress big:1";
  const base = { type: "Normal", reason: "Pulling", series } as const;
  expect(events).toEqual([
    { ...base, message: 'Pulling image "big:1": 30.0 of 90.0 MB, 1.0 MB/s' },
    { ...base, message: 'Pulling image "big:1": 75.0 of 90.0 MB, 1.5 MB/s' },
  ]);
});

test("every reason is reported when the registry accepts none of the credentials", async () => {
  const { runtime, pull } = world();
  const config = (user: string): string =>
    JSON.stringify({ "reg.example": { auth: Buffer.from(`${user}:p`).toString("base64") } });
  runtime.onPull = async ({ auth }) => {
    throw new AppError("image-pull", `${auth?.username} is unknown`);
  };
  const error = await pull("reg.example/web:1", undefined, [config("a"), config("b")]).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "image-pull", message: "[a is unknown, b is unknown]" });
});

test("credentials of the registry are not sent to its mirror", async () => {
  const mirrors = { "reg.example": ["https://mirror.example"] };
  const { runtime, pull } = world({ mirrors });
  const config = JSON.stringify({ "reg.example": { username: "me", password: "p" } });
  await pull("reg.example/web:1", undefined, [config]);
  expect(runtime.pulls.map(({ ref, auth }) => [ref, auth?.username])).toEqual([
    ["mirror.example/web:1", undefined],
    ["reg.example/web:1", "me"],
  ]);
});
