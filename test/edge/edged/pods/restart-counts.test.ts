import { expect, test } from "bun:test";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { ContainerStatus, Pod } from "#shared/kube";

const pod: Pod = {
  metadata: { name: "web", namespace: "default", uid: "uid-web" },
  spec: { containers: [{ name: "c", image: "web:1" }] },
};

function idOf(runtime: FakeRuntime): string {
  const index = runtime.specs().findLastIndex(({ identity }) => identity.container === "c");
  return runtime.ids()[index] ?? "";
}

test("the count of restarts never falls, whatever is removed from the engine and also when edgecore restarts", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  await using edge = new EdgedHarness();
  await edge.start(runtime, clock, { dataDir: dir.path });
  const shown = (): ContainerStatus | undefined => edge.status("uid-web")?.containerStatuses?.[0];
  const until = async (restarts: number): Promise<void> => {
    for (
      let second = 0;
      second < 60 && !(shown()?.state?.running && shown()?.restartCount === restarts);
      second += 1
    )
      await clock.advance(1000);
    expect([shown()?.restartCount, shown()?.state?.running !== undefined]).toEqual([restarts, true]);
  };
  await edge.apply(pod);
  await until(0);
  runtime.exit(idOf(runtime), 3);
  await until(1);
  expect(shown()?.lastState?.terminated?.exitCode).toBe(3);
  // Running or ended: with the last one nothing is left that could be counted.
  for (const expected of [2, 3]) {
    const ids = runtime.ids();
    const specs = runtime.specs();
    const runs = ids.filter((_id, index) => specs[index]?.identity.container === "c");
    for (const id of runs) await runtime.remove(id);
    await until(expected);
    expect(shown()?.lastState?.terminated?.reason).toBe("ContainerStatusUnknown");
  }
  await edge.stop();
  await runtime.remove(idOf(runtime));
  const status = edge.status("uid-web");
  edge.pods.set("uid-web", { ...pod, ...(status && { status }) });
  await edge.start(runtime, clock, { dataDir: dir.path });
  await until(4);
  const counts = (edge.statuses.get("uid-web") ?? []).map(
    (one) => one.containerStatuses?.[0]?.restartCount ?? 0,
  );
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
});
