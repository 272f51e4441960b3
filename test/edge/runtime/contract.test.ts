import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import type { ContainerRuntime, ContainerSpec, PodNetwork, RuntimeHint } from "#edge/runtime";
import { openCriRuntime } from "#edge/runtime/cri";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/machine/container-engine.ts";
import { Containerd, hasContainerd } from "#internal/test/support/machine/containerd.ts";
import { sandbox as plainSandbox } from "#internal/test/edge/runtime/plain-specs.ts";
import { hasProcesses, processRuntime, removeCgroups } from "#internal/test/support/machine/processes.ts";
import { PodUnderTest } from "#internal/test/edge/runtime/pod-under-test.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const owner = `contract-${process.pid}`;
const image = `kubeedge-contract-${process.pid}:1`;

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: { code: string }) => error.code,
  );

/** What the control groups of a process allow: bytes, and microseconds of each 100,000. */
function limitsOf(pid: number): { readonly memory: number; readonly quota: number } {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const path = (controller: string): string =>
    lines
      .map((line) => line.split(":"))
      .find(([, names = ""]) => names.split(",").includes(controller))?.[2] ?? "";
  const read = (file: string): string => readFileSync(`/sys/fs/cgroup${file}`, "utf8");
  if (existsSync("/sys/fs/cgroup/cgroup.controllers"))
    return {
      memory: Number(read(`${path("")}/memory.max`)),
      quota: Number(read(`${path("")}/cpu.max`).split(" ")[0]),
    };
  return {
    memory: Number(read(`/memory${path("memory")}/memory.limit_in_bytes`)),
    quota: Number(read(`/cpu${path("cpu")}/cpu.cfs_quota_us`)),
  };
}

/** What a stand-in has no kernel for. */
function resizing(open: () => Promise<ContainerRuntime>, network = plainSandbox.network): void {
  test("gives a container that runs other resources", async () => {
    await using pod = new PodUnderTest(await open(), image, network);
    const { runtime } = pod;
    const mebi = 1024 * 1024;
    const id = await pod.start("resized", { cpuShares: 102, nanoCpus: 1e8, memoryBytes: 64 * mebi });
    const { pid = 0 } = (await runtime.inspect(id)) ?? {};
    const before = limitsOf(pid);
    await runtime.update(id, { cpuShares: 204, nanoCpus: 2e8, memoryBytes: 128 * mebi });
    await runtime.update(id, { cpuShares: 512 });
    expect([before, limitsOf(pid)]).toEqual([
      { memory: 64 * mebi, quota: 10_000 },
      { memory: 128 * mebi, quota: 20_000 },
    ]);
    expect((await runtime.inspect(id))?.phase).toBe("running");
    const vast = await pod.start("vast", { nanoCpus: 4096e9 });
    await runtime.update(vast, { nanoCpus: 8192e9 });
    expect((await runtime.inspect(vast))?.phase).toBe("running");
    expect(await codeOf(runtime.update("none", { cpuShares: 2 }))).toBe("container-not-found");
  });
}

function contract(open: () => Promise<ContainerRuntime>): void {
  pods(open, { network: plainSandbox.network, addresses: 1, unknown: { image: "kubeedge-none:1" } });
  images(open);
}

interface RuntimeTraits {
  readonly network: PodNetwork;
  /** Of a sandbox. */
  readonly addresses: number;
  /** What no container can be made of. */
  readonly unknown: Partial<ContainerSpec>;
}

/** What every runtime does. */
function pods(
  openRuntime: () => Promise<ContainerRuntime>,
  { network, addresses, unknown: nothing }: RuntimeTraits,
): void {
  const open = async (): Promise<PodUnderTest> => new PodUnderTest(await openRuntime(), image, network);
  describe("container runtime", () => {
    test("runs a sandbox with its identity and its addresses, and stops and removes it", async () => {
      await using pod = await open();
      const { runtime } = pod;
      const made = await runtime.runSandbox(pod.sandboxSpec());
      expect({ phase: made.phase, identity: made.identity, ips: made.ips.length }).toEqual({
        phase: "running",
        identity: pod.identity("POD", "sandbox"),
        ips: addresses,
      });
      expect(await runtime.list(pod.uid)).toEqual([
        { id: made.id, identity: made.identity, phase: "running" },
      ]);
      await runtime.stopSandbox(made.id);
      await runtime.stopSandbox(made.id);
      expect((await runtime.inspect(made.id))?.phase).toBe("exited");
      await runtime.removeSandbox(made.id);
      await runtime.removeSandbox(made.id);
      expect(await runtime.inspect(made.id)).toBeUndefined();
    });

    test("finds a container with its identity after it was created and started", async () => {
      await using pod = await open();
      const { runtime } = pod;
      const spec = await pod.spec("found");
      const id = await runtime.create(spec);
      const before = (await runtime.list(pod.uid)).filter((one) => one.id === id);
      await runtime.start(id);
      await runtime.start(id);
      const details = await runtime.inspect(id);
      expect(before).toEqual([{ id, identity: spec.identity, phase: "created" }]);
      expect({ phase: details?.phase, identity: details?.identity, ips: details?.ips }).toEqual({
        phase: "running",
        identity: spec.identity,
        ips: [],
      });
    });

    test("stops a container and reports how it ended", async () => {
      await using pod = await open();
      const { runtime } = pod;
      const id = await pod.start("stopped");
      await runtime.stop(id, 0);
      await runtime.stop(id, 0);
      const details = await runtime.inspect(id);
      await runtime.remove(id);
      await runtime.remove(id);
      expect({ phase: details?.phase, exitCode: details?.exitCode }).toEqual({
        phase: "exited",
        exitCode: 137,
      });
    });

    test("refuses a second container of the same name and an unknown image, by code", async () => {
      await using pod = await open();
      const { runtime } = pod;
      const twice = await pod.spec("twice");
      await runtime.create(twice);
      const unknown = await pod.spec("unknown", nothing);
      expect([await codeOf(runtime.create(twice)), await codeOf(runtime.create(unknown))]).toEqual([
        "container-conflict",
        "image-not-found",
      ]);
    });

    test("hints at the start of a container", async () => {
      await using pod = await open();
      const connected = Promise.withResolvers<void>();
      const started = Promise.withResolvers<RuntimeHint>();
      using _watch = pod.runtime.watch((hint) => {
        if (hint.kind === "connected") connected.resolve();
        // containerd 1.7 also delivers what happened before anybody followed it.
        if (hint.kind === "container" && hint.action === "start" && hint.podUid === pod.uid)
          started.resolve(hint);
      });
      await connected.promise;
      const { id, identity } = await pod.runtime.runSandbox(pod.sandboxSpec());
      expect(await started.promise).toEqual({
        kind: "container",
        id,
        podUid: identity.podUid,
        action: "start",
      });
    });
  });
}

/** What has images. */
function images(open: () => Promise<ContainerRuntime>): void {
  describe("images of a runtime", () => {
    test("says which images are in use, and does not remove them", async () => {
      await using pod = new PodUnderTest(await open(), image);
      const { runtime } = pod;
      await runtime.create(await pod.spec("user"));
      const { id = "" } = (await runtime.findImage(image)) ?? {};
      const used = (await runtime.usedImages()).has(id);
      expect([used, await codeOf(runtime.removeImage(id))]).toEqual([true, "image-in-use"]);
    });

    test("pins the image of sandboxes", async () => {
      await using pod = new PodUnderTest(await open(), image);
      const { imageId } = await pod.runtime.runSandbox(pod.sandboxSpec());
      const images = await pod.runtime.listImages();
      expect(images.find(({ id }) => id === imageId)?.pinned).toBe(true);
      expect(images.find(({ names }) => names.includes(image))?.pinned ?? false).toBe(false);
    });

    test("names an image, and removes it with all names", async () => {
      await using runtime = await open();
      await runtime.removeImage("sha256:" + "0".repeat(64));
      // It is known what the engine can do once it was asked.
      await runtime.info();
      const store = runtime.imageStore;
      if (!store) throw new Error("this engine has no names of images");
      const other = `${image.split(":")[0]}-other:2`;
      await store.tag(image, other);
      const named = await runtime.findImage(other);
      expect(named?.id).toBe((await runtime.findImage(image))?.id ?? "none");
      await store.untag(other);
      await store.untag(other);
      expect([await runtime.findImage(other), (await runtime.findImage(image))?.id]).toEqual([
        undefined,
        named?.id,
      ]);
    });
  });
}

describe("FakeRuntime", () => {
  contract(async () => {
    const runtime = new FakeRuntime({ nowMs: () => 1000 });
    runtime.addImage(image);
    return runtime;
  });
});

/** What only runtimes with processes have. */
function processes(open: () => Promise<ContainerRuntime>, network = plainSandbox.network): void {
  test("runs a command in a container and returns its output and exit code", async () => {
    await using pod = new PodUnderTest(await open(), image, network);
    const id = await pod.start("exec");
    const command = ["sh", "-c", "echo out; echo err >&2; exit 7"];
    const result = await pod.runtime.runCommand(id, command, { maxOutputBytes: 100 });
    expect(result.exitCode).toBe(7);
    expect(result.output.split("\n").sort()).toEqual(["", "err", "out"]);
  });

  test("measures a container while it runs", async () => {
    await using pod = new PodUnderTest(await open(), image, network);
    const id = await pod.start("measured");
    const [first, second] = [await pod.runtime.usage(id), await pod.runtime.usage(id)];
    expect(first?.cpuNanoseconds).toBeGreaterThan(0);
    expect(first?.workingSetBytes).toBeGreaterThan(0);
    expect(second?.cpuNanoseconds).toBeGreaterThanOrEqual(first?.cpuNanoseconds ?? Infinity);
    await pod.runtime.stop(id, 0);
    expect([await pod.runtime.usage(id), await pod.runtime.usage("none")]).toEqual([undefined, undefined]);
  });

  test("limits the processes of a container", async () => {
    await using pod = new PodUnderTest(await open(), image, network);
    const id = await pod.start("limited", { pidsLimit: 20 });
    const script = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all";
    const { output } = await pod.runtime.runCommand(id, ["sh", "-c", script], { maxOutputBytes: 10_000 });
    expect(output).toMatch(/can.?t fork|cannot fork/i);
  });

  test("refuses to mount what does not exist", async () => {
    await using pod = new PodUnderTest(await open(), image, network);
    const mounts = [{ source: "/tmp/kubeedge-no-such-directory", target: "/data", readOnly: false }];
    const created = pod.runtime.create(await pod.spec("mounting", { mounts }));
    expect(await codeOf(created)).toBe("engine-refused");
  });
}

/** What only engines have. */
function engines(open: (address?: string) => Promise<ContainerRuntime>): void {
  test("rejects with UnavailableError when the engine cannot be reached", async () => {
    await using runtime = await open("unix:///tmp/kubeedge-no-such.sock");
    expect(await runtime.list().catch((error: unknown) => error)).toBeInstanceOf(UnavailableError);
  });

  test("reports why an image cannot be pulled", async () => {
    await using runtime = await open();
    const error = await runtime
      .pullImage("kubeedge.invalid/none", {})
      .catch((thrown: unknown) => thrown as { code: string; message: string });
    expect(error).toMatchObject({ code: "image-pull", message: expect.stringContaining("kubeedge.invalid") });
  });

  test("runs a sandbox with a runtime handler that the engine has, and refuses others", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const withHandler = (runtimeHandler: string) =>
      pod.runtime.runSandbox(pod.sandboxSpec({ runtimeHandler }));
    const error = await withHandler("kubeedge-none").catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({
      code: "engine-refused",
      message: expect.stringContaining("kubeedge-none"),
    });
    expect(await pod.runtime.list(pod.uid)).toEqual([]);
    expect((await withHandler("runc")).phase).toBe("running");
  });

  test("refuses a host port at which a program listens, and takes it when it is free", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const program = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    const ports = [
      { containerPort: 80, hostPort: program.port, hostIp: "0.0.0.0", protocol: "tcp" },
    ] as const;
    const run = () =>
      pod.runtime.runSandbox(pod.sandboxSpec({ network: { kind: "own", hostname: "web", ports } }));
    const error = await run().catch((thrown: unknown) => thrown as Error);
    program.stop(true);
    for (const { id } of await pod.runtime.list(pod.uid)) await pod.runtime.removeSandbox(id);
    expect([error, (await run()).phase]).toMatchObject([
      { code: "engine-refused", message: expect.stringContaining(`${ports[0].hostPort}`) },
      "running",
    ]);
  });
}

describe.skipIf(!hasEngine())("Docker", () => {
  let made: Disposable | undefined;
  const open = (address = `unix://${engineSocket}`): Promise<ContainerRuntime> =>
    openDockerRuntime({ address, owner, clock: systemClock, log: silentLog() });
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => {
    if (!made) return;
    removeContainers(owner);
    made[Symbol.dispose]();
  });
  contract(open);
  processes(open);
  resizing(open);
  engines(open);

  test("ends the pause container gracefully when it is signalled", async () => {
    await using pod = new PodUnderTest(await open(), image);
    const { id } = await pod.runtime.runSandbox(pod.sandboxSpec());
    await pod.runtime.stop(id, 30);
    const details = await pod.runtime.inspect(id);
    expect({ phase: details?.phase, exitCode: details?.exitCode }).toEqual({ phase: "exited", exitCode: 0 });
  });

  test("hides containers of another owner", async () => {
    await using runtime = await open();
    const name = `other-${process.pid}`;
    docker("create", "--name", name, "--label", "io.kubeedge.owner=other", image, "true");
    try {
      expect((await runtime.list()).filter(({ identity }) => identity.podUid === "")).toEqual([]);
    } finally {
      docker("rm", name);
    }
  });
});

describe.skipIf(!hasContainerd())("containerd", () => {
  let engine: Containerd;
  let dataDir: ReturnType<typeof tempDir>;
  const open = (address = engine.endpoint, name = owner): Promise<ContainerRuntime> =>
    openCriRuntime({ address, owner: name, dataDir: dataDir.path, clock: systemClock, log: silentLog() });
  beforeAll(async () => {
    dataDir = tempDir("cri");
    engine = await Containerd.start();
    await engine.addBusybox(image);
  });
  afterAll(async () => {
    await engine[Symbol.asyncDispose]();
    dataDir[Symbol.dispose]();
  });
  contract(open);
  processes(open);
  resizing(open);
  engines(open);

  test("hides containers of another owner", async () => {
    await using pod = new PodUnderTest(await open(engine.endpoint, "other"), image);
    await pod.start("hidden");
    await using runtime = await open();
    expect([await runtime.list(pod.uid), (await pod.runtime.list(pod.uid)).length]).toEqual([[], 2]);
  });
});

describe.skipIf(!hasProcesses())("processes", () => {
  let dataDir: ReturnType<typeof tempDir>;
  const network = { kind: "host" } as const;
  const open = async (): Promise<ContainerRuntime> => processRuntime(dataDir.path);
  beforeAll(() => {
    dataDir = tempDir("processes");
  });
  afterAll(() => {
    removeCgroups();
    dataDir[Symbol.dispose]();
  });
  pods(open, { network, addresses: 0, unknown: { image: "process:///usr/bin/kubeedge-none", command: [] } });
  processes(open, network);
  resizing(open, network);
});
