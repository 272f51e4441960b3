import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerRuntime } from "#edge/runtime";
import { openCriRuntime } from "#edge/runtime/cri";
import { openDockerRuntime } from "#edge/runtime/docker";
import { LogBound, planRemoval, type CountedLog } from "#edge/runtime/usage";
import { systemClock } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);

const file = (path: string, bytes: number, changedAtMs: number, isCurrent = false): CountedLog => ({
  path,
  bytes,
  changedAtMs,
  isCurrent,
});

test("the oldest rotated files go first, whichever container they are of, and no more than the bound asks for", () => {
  const files = [
    file("a", 10, 50, true),
    file("a.1", 10, 40),
    file("a.2", 10, 10),
    file("b", 10, 60, true),
    file("b.1", 10, 30),
    file("b.2", 10, 20),
  ];
  const paths = (limit: number): string[] => planRemoval(files, limit).map(({ path }) => path);
  expect([paths(60), paths(59), paths(35), paths(20)]).toEqual([
    [],
    ["a.2"],
    ["a.2", "b.2", "b.1"],
    ["a.2", "b.2", "b.1", "a.1"],
  ]);
});

test("files that are written to stay when they alone are over the bound", () => {
  const files = [file("a", 100, 1, true), file("a.1", 5, 0), file("b", 100, 0, true)];
  expect(planRemoval(files, 50).map(({ path }) => path)).toEqual(["a.1"]);
});

test("a bound says once that it removes files, and once that current files alone are over it", () => {
  using dir = tempDir("logs");
  const path = join(dir.path, "a.1");
  const log = silentLog();
  const bound = new LogBound(15, log);
  for (const bytes of [10, 10, 20]) {
    writeFileSync(path, "x".repeat(10));
    bound.apply([file(join(dir.path, "a"), bytes, 1, true), file(path, 10, 0)]);
    expect(existsSync(path)).toBe(false);
  }
  bound.apply([file(join(dir.path, "a"), 20, 1, true)]);
  expect(log.lines.map((text) => (JSON.parse(text) as { msg: string }).msg)).toEqual([
    "removing rotated logs of containers, which are larger than they may be together",
    "the current logs of containers are larger than all logs may be together",
  ]);
});

test("without a bound nothing is removed", () => {
  using dir = tempDir("logs");
  const path = join(dir.path, "a.1");
  writeFileSync(path, "x");
  new LogBound(undefined, silentLog()).apply([file(path, 1e12, 0)]);
  expect(existsSync(path)).toBe(true);
});

const owner = `log-bound-${process.pid}`;
const image = `kubeedge-log-bound-${process.pid}:1`;
/** Two containers may have 160 kB without it. */
const logs = { fileBytes: 20_000, files: 4, totalBytes: 70_000 };
const line = "0".repeat(100);
/** 200 kB each, with time to rotate between; the last file is a small one. */
const write = `n=0; while [ $n -lt 10 ]; do i=0; while [ $i -lt 200 ]; do echo ${line}; i=$((i+1)); done; sleep 0.3; n=$((n+1)); done; sleep 0.5; echo end; sleep 1000`;

async function staysBelow(
  runtime: ContainerRuntime,
  sizes: (ids: readonly string[]) => number[],
): Promise<void> {
  await using pod = new PodUnderTest(runtime, image);
  using _bound = runtime.watch(() => undefined);
  const ids: string[] = [];
  for (const name of ["one", "two"]) ids.push(await pod.start(name, { command: ["sh", "-c", write] }));
  for (const id of ids)
    await eventually(30_000, async () => {
      if ((await lastLine(runtime, id)) !== "end\n") throw new Error(`${id} still writes`);
    });
  await eventually(30_000, async () => {
    const sum = sizes(ids).reduce((total, size) => total + size, 0);
    if (sum > logs.totalBytes) throw new Error(`${sizes(ids).join(" ")} are kept`);
  });
  // No more than has to go, and none that is written to.
  expect(sizes(ids).length).toBeGreaterThan(2);
  for (const id of ids) expect(await lastLine(runtime, id)).toBe("end\n");
}

async function lastLine(runtime: ContainerRuntime, id: string): Promise<string> {
  let text = "";
  for await (const { bytes } of runtime.logs(id, { tailLines: 1 })) text += new TextDecoder().decode(bytes);
  return text;
}

function sizesIn(folder: string): number[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.log(\.|$)/.test(entry.name))
    .map(({ parentPath, name }) => statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0);
}

describe.skipIf(!hasEngine())("Docker", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => {
    if (!made) return;
    removeContainers(owner);
    made[Symbol.dispose]();
  });

  test("logs of all containers together stay below the bound", async () => {
    const address = `unix://${engineSocket}`;
    const options = { address, owner, clock: systemClock, log: silentLog() };
    const root = docker("info", "--format", "{{.DockerRootDir}}").trim();
    await staysBelow(await openDockerRuntime({ ...options, logs, boundMs: 100 }), (ids) =>
      ids.flatMap((id) => sizesIn(join(root, "containers", id))),
    );
  });
});

describe.skipIf(!hasContainerd())("containerd", () => {
  test("logs of all containers together stay below the bound", async () => {
    using dataDir = tempDir("cri");
    await using engine = await Containerd.start();
    await engine.addBusybox(image);
    const options = { address: engine.endpoint, owner, dataDir: dataDir.path, clock: systemClock };
    await staysBelow(await openCriRuntime({ ...options, log: silentLog(), logs, rotateMs: 100 }), () =>
      sizesIn(dataDir.path),
    );
  });
});
