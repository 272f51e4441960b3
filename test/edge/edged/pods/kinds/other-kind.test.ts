import { expect, test } from "bun:test";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Container, Pod, PodStatus } from "#shared/kube";

async function world() {
  const dir = tempDir();
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  const start = (): Promise<void> => edge.start(runtime, clock, { dataDir: dir.path });
  await start();
  const apply = async (image: string, debuggers: Container[] = []): Promise<void> => {
    const ephemeralContainers = debuggers.length > 0 ? { ephemeralContainers: debuggers } : {};
    const pod: Pod = {
      metadata: { name: "web", namespace: "default", uid: "uid-web" },
      spec: { containers: [{ name: "c", image }], ...ephemeralContainers },
    };
    await edge.apply(pod);
    await clock.advance(1000);
  };
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, apply, start, [Symbol.asyncDispose]: dispose };
}

const program = { name: "debugger", image: "process:///x" };

test("a program that kubectl debug puts into a pod of containers is refused, and the pod stays as it is", async () => {
  await using at = await world();
  await at.apply("web:1");
  const before = partsOf(at.edge.status("uid-web"));
  await at.apply("web:1", [program]);
  const status = at.edge.status("uid-web");
  expect(status?.ephemeralContainerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "CreateContainerConfigError",
    message: "spec.ephemeralContainers[0].image process:///x: this pod has containers, and no programs",
  });
  expect(partsOf(status)).toEqual(before);
  expect(before).toEqual([expect.not.stringMatching(/^192\.0\.2\.2$/), expect.any(String), true]);
});

function partsOf({ podIP, containerStatuses = [] }: PodStatus = {}): unknown[] {
  const [first] = containerStatuses;
  return [podIP, first?.containerID, first?.ready];
}

test("a pod with such a debugger starts again with its sandbox", async () => {
  await using at = await world();
  await at.apply("web:1");
  await at.apply("web:1", [program]);
  for (const { id } of await at.runtime.list()) at.runtime.exit(id, 1);
  await at.clock.advance(60_000);
  const [status] = at.edge.status("uid-web")?.containerStatuses ?? [];
  expect([status?.restartCount, status?.state?.running !== undefined]).toEqual([1, true]);
});

test("an image of a program in place of that of a container is refused, and the pod keeps its kind", async () => {
  await using at = await world();
  await at.apply("web:1");
  await at.apply("process:///x");
  await at.clock.advance(60_000);
  expect(at.edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "CreateContainerConfigError",
    message: "spec.containers[0].image process:///x: this pod has containers, and no programs",
  });
  await at.apply("web:1");
  await at.clock.advance(600_000);
  expect(at.edge.status("uid-web")?.containerStatuses?.[0]?.ready).toBe(true);
});
