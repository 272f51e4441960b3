import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { readLogsAsked } from "#internal/edge/commands/logs/options.ts";
import { findRun } from "#edge/commands/logs";
import { ownerOf, type ContainerSummary } from "#edge/runtime";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import {
  busyboxImage,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(30_000);

function asked(operands: readonly string[], flags: Readonly<Record<string, string>> = {}) {
  return readLogsAsked({ command: "logs", operands, flags: new Map(Object.entries(flags)) }, 10_000_000);
}

function summary(container: string, attempt: number, more: Partial<ContainerSummary["identity"]> = {}) {
  const identity = {
    podName: "web",
    podNamespace: "default",
    podUid: "u1",
    container,
    role: "container",
    attempt,
    specHash: "",
    sandboxId: "s",
    graceSeconds: 30,
    ...more,
  } as const;
  return { id: `${container}${attempt}${identity.podUid}`, identity, phase: "running" } as const;
}

describe("the command line of edgecore logs", () => {
  test("is read as that of kubectl logs", () => {
    expect(asked(["web"], { since: "1h30m", tail: "5", follow: "true" })).toEqual({
      pod: "web",
      namespace: "default",
      container: undefined,
      previous: false,
      limitBytes: Infinity,
      options: { follow: true, timestamps: false, tailLines: 5, sinceMs: 10_000_000 - 5_400_000 },
    });
    expect(asked(["pod/web", "main"], { tail: "-1", "limit-bytes": "7", namespace: "n" })).toMatchObject({
      pod: "web",
      container: "main",
      namespace: "n",
      limitBytes: 7,
      options: { follow: false, timestamps: false },
    });
  });

  test.each([
    [[], {}, "expected the name of a pod"],
    [["web", "a", "b"], {}, 'expected nothing more, got "b"'],
    [["web", "a"], { container: "a" }, 'expected nothing more, got "a"'],
    [["web"], { tail: "x" }, '--tail: expected a whole number, got "x"'],
    [["web"], { since: "5 minutes" }, "--since: expected a duration"],
    [["web"], { "since-time": "noon" }, "--since-time: expected a time"],
    [["web"], { since: "1s", "since-time": "2026-01-01T00:00:00Z" }, "got both"],
  ])("%j %j is refused", (operands, flags, text) => {
    expect(() => asked(operands, flags)).toThrow(text);
  });
});

describe("the run of a container", () => {
  const runs = [summary("main", 0), summary("main", 2), summary("main", 1)];
  const two = [...runs, summary("sidecar", 0)];

  test("is the last one, or the one before", () => {
    expect(findRun(runs, asked(["web"])).identity.attempt).toBe(2);
    expect(findRun(runs, asked(["web"], { previous: "true" })).identity.attempt).toBe(1);
  });

  test("is one of the pod that runs when another of its name is being removed", () => {
    const running = summary("POD", 0, { role: "sandbox", podUid: "u2" });
    const list = [running, summary("main", 0, { podUid: "u2" }), ...runs];
    expect(findRun(list, asked(["web"])).identity.podUid).toBe("u2");
  });

  test.each([
    [runs, ["other"], {}, 'pod "other" in namespace "default" is not on this node'],
    [runs, ["web"], { namespace: "x" }, 'it is in namespace "default"'],
    [runs, ["web", "none"], {}, "has not been started on this node; it has main"],
    [two, ["web"], {}, "choose one of: main, sidecar"],
    [two, ["web", "sidecar"], { previous: "true" }, 'previous terminated container "sidecar"'],
  ] as const)("that is not there is refused (%#)", (list, operands, flags, text) => {
    expect(() => findRun(list, asked(operands, flags))).toThrow(text);
  });
});

describe.skipIf(!hasEngine())("edgecore logs", () => {
  const image = `kubeedge-logs-${process.pid}:1`;
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("prints the log of a pod although no edgecore runs", async () => {
    using dir = tempDir("logs");
    const owner = ownerOf("edge-1", dir.path);
    const address = `unix://${engineSocket}`;
    using _containers = { [Symbol.dispose]: () => removeContainers(owner) };
    const runtime = await openDockerRuntime({ address, owner, clock: systemClock, log: silentLog() });
    await using pod = new PodUnderTest(runtime, image);
    const id = await pod.start("main", { command: ["sh", "-c", "echo one; echo two"] });
    for await (const _chunk of runtime.logs(id, { follow: true }));
    const config = join(dir.path, "edge.yaml");
    await Bun.write(config, "edged: { hostname-override: edge-1 }\n");
    const words = ["logs", "web", "-c", "main", "--tail", "1", "--config", config, "--data-dir", dir.path];
    const child = Bun.spawn([process.execPath, "edge/main.ts", ...words], { stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    expect({ code: await child.exited, out, err }).toEqual({ code: 0, out: "two\n", err: "" });
  });
});
