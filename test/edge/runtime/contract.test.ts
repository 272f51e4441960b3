import { afterAll, describe, expect, test } from "bun:test";
import type { ContainerRuntime, ContainerSpec, RuntimeHint } from "#edge/runtime";
import { openDockerRuntime } from "#edge/runtime/docker";
import { systemClock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import {
  busyboxImage,
  docker,
  engineSocket,
  hasEngine,
  removeContainers,
} from "#internal/test/support/container-engine.ts";
import { FakeRuntime } from "#internal/test/support/fake-runtime.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const owner = `contract-${process.pid}`;
const image = `kubeedge-contract-${process.pid}:1`;

function spec(container: string, over: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    identity: {
      podName: "web",
      podNamespace: "default",
      podUid: `uid-${process.pid}`,
      container,
      role: "container",
      attempt: 0,
      specHash: "h",
      sandboxId: "s",
      graceSeconds: 1,
    },
    image,
    command: ["sleep", "1000"],
    env: [],
    supplementalGroups: [],
    tty: false,
    stdin: false,
    stdinOnce: false,
    network: { kind: "own", hostname: "web", ports: [] },
    extraHosts: [],
    sysctls: {},
    hostIpc: false,
    mounts: [],
    privileged: false,
    readOnlyRoot: false,
    noNewPrivileges: false,
    capAdd: [],
    capDrop: [],
    ...over,
  };
}

function contract(name: string, open: () => Promise<ContainerRuntime>): void {
  describe(name, () => {
    test("finds a container with its identity after it was created and started", async () => {
      await using runtime = await open();
      const id = await runtime.create(spec("found"));
      const before = await runtime.list(`uid-${process.pid}`);
      await runtime.start(id);
      await runtime.start(id);
      const details = await runtime.inspect(id);
      await runtime.remove(id);
      expect(before).toEqual([{ id, identity: spec("found").identity, phase: "created" }]);
      expect({ phase: details?.phase, identity: details?.identity, ips: details?.ips.length }).toEqual({
        phase: "running",
        identity: spec("found").identity,
        ips: 1,
      });
      expect(await runtime.inspect(id)).toBeUndefined();
    });

    test("stops a container and tells how it ended", async () => {
      await using runtime = await open();
      const id = await runtime.create(spec("stopped"));
      await runtime.start(id);
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
      await using runtime = await open();
      const id = await runtime.create(spec("twice"));
      const conflict = runtime.create(spec("twice")).catch((error: { code: string }) => error.code);
      const missing = runtime
        .create(spec("missing", { image: "kubeedge-none:1" }))
        .catch((error: { code: string }) => error.code);
      expect([await conflict, await missing]).toEqual(["container-conflict", "image-not-found"]);
      await runtime.remove(id);
    });

    test("hints at a start of an own container", async () => {
      await using runtime = await open();
      const heard = Promise.withResolvers<RuntimeHint>();
      using _watch = runtime.watch((hint) => {
        if (hint.kind === "container" && hint.action === "start") heard.resolve(hint);
      });
      const id = await runtime.create(spec("hinted"));
      await runtime.start(id);
      // A watch may miss what happens before it is connected: starting again later is what the list is for.
      const hint = await Promise.race([heard.promise, Bun.sleep(2000).then(() => undefined)]);
      await runtime.remove(id);
      expect(hint === undefined || (hint.kind === "container" && hint.id === id)).toBe(true);
    });
  });
}

contract("FakeRuntime", async () => {
  const runtime = new FakeRuntime({ nowMs: () => 1000 });
  runtime.addImage(image);
  return runtime;
});

if (hasEngine()) {
  const made = busyboxImage(image);
  const open = (address = `unix://${engineSocket}`): Promise<ContainerRuntime> =>
    openDockerRuntime({ address, owner, clock: systemClock, log: silentLog() });
  afterAll(() => {
    removeContainers(owner);
    made[Symbol.dispose]();
  });
  contract("Docker", open);

  test("Docker runs a command in a container and tells its output and exit code", async () => {
    await using runtime = await open();
    const id = await runtime.create(spec("exec"));
    await runtime.start(id);
    const result = await runtime.exec(id, ["sh", "-c", "echo out; echo err >&2; exit 7"], {
      maxOutputBytes: 100,
    });
    await runtime.remove(id);
    expect(result.exitCode).toBe(7);
    expect(result.output.split("\n").sort()).toEqual(["", "err", "out"]);
  });

  test("Docker ends the pause container at once when it is asked to stop", async () => {
    await using runtime = await open();
    const { command: _command, ...sandbox } = spec("POD", { image: await runtime.ensurePauseImage() });
    const id = await runtime.create(sandbox);
    await runtime.start(id);
    await runtime.stop(id, 30);
    const details = await runtime.inspect(id);
    await runtime.remove(id);
    expect({ phase: details?.phase, exitCode: details?.exitCode }).toEqual({ phase: "exited", exitCode: 0 });
  });

  test("Docker hides containers of another owner", async () => {
    await using runtime = await open();
    const name = `other-${process.pid}`;
    docker("create", "--name", name, "--label", "io.kubeedge.owner=other", image, "true");
    try {
      expect((await runtime.list()).filter(({ identity }) => identity.podUid === "")).toEqual([]);
    } finally {
      docker("rm", name);
    }
  });

  test("Docker rejects with UnavailableError when the engine is away", async () => {
    await using runtime = await open("unix:///tmp/kubeedge-no-such.sock");
    expect(await runtime.list().catch((error: unknown) => error)).toBeInstanceOf(UnavailableError);
  });

  test("Docker tells why an image cannot be pulled", async () => {
    await using runtime = await open();
    const error = await runtime
      .pullImage("kubeedge.invalid/none", { dockerConfigs: [] })
      .catch((thrown: unknown) => thrown as { code: string; message: string });
    expect(error).toMatchObject({ code: "image-pull", message: expect.stringContaining("kubeedge.invalid") });
  });
}
