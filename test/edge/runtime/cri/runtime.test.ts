import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { eventually } from "#internal/scripts/service.ts";
import { serveCri, type CriHandler } from "#internal/test/edge/runtime/cri/cri-server.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { labelNames } from "#edge/runtime";
import { openCriRuntime, type CriRuntimeOptions } from "#edge/runtime/cri";
import type { CriCalls } from "#edge/runtime/cri/api";
import { CriEngine } from "#internal/edge/runtime/cri/engine.ts";
import { systemClock } from "#shared/clock";

setDefaultTimeout(30_000);

const digest = (digit: string): string => digit.repeat(64);

/** A runtime with an engine that has these methods, and no containers unless it says so. */
async function openWith(
  handlers: Readonly<Record<string, CriHandler>>,
  options: Partial<CriRuntimeOptions> = {},
) {
  const dir = tempDir("cri");
  const path = join(dir.path, "engine.sock");
  const server = await serveCri(path, {
    ListPodSandbox: (_call, answer) => answer(null, { items: [] }),
    ListContainers: (_call, answer) => answer(null, { containers: [] }),
    ...handlers,
  });
  const runtime = await openCriRuntime({
    address: `unix://${path}`,
    owner: "me",
    dataDir: dir.path,
    clock: systemClock,
    log: silentLog(),
    ...options,
  });
  return {
    runtime,
    dataDir: dir.path,
    [Symbol.asyncDispose]: async () => {
      await runtime[Symbol.asyncDispose]();
      server.forceShutdown();
      dir[Symbol.dispose]();
    },
  };
}

test("logs of containers that began after the engine's events were followed are rotated, while they run", async () => {
  const containers: object[] = [];
  const isFollowed = Promise.withResolvers<void>();
  const reopened = new Set<string>();
  let opened = (_id: string): void => undefined;
  await using engine = await openWith(
    {
      ListContainers: (_call, answer) => answer(null, { containers }),
      // Events for as long as the engine runs, as containerd 1.7 and later.
      GetContainerEvents: () => isFollowed.resolve(),
      ReopenContainerLog: (call, answer) => {
        const { containerId } = call.request as { readonly containerId: string };
        reopened.add(containerId);
        opened(containerId);
        answer(null, {});
      },
    },
    { logs: { fileBytes: 10, files: 2 }, rotateMs: 20 },
  );
  const log = (id: string): string => join(engine.dataDir, "pods/uid/logs", id, "0.log");
  opened = (id) => writeFileSync(log(id), "");
  using _watch = engine.runtime.watch(() => undefined);
  await isFollowed.promise;
  for (const [id, state] of [
    ["ended", 2],
    ["runs", 1],
  ] as const) {
    mkdirSync(dirname(log(id)), { recursive: true });
    writeFileSync(log(id), "more than ten bytes");
    const labels = { [labelNames.owner]: "me", [labelNames.podUid]: "uid", [labelNames.container]: id };
    containers.push({ id, state, labels });
  }
  await eventually(10_000, async () => expect(existsSync(log("runs")) && reopened.has("runs")).toBe(true));
  expect(readdirSync(dirname(log("runs")))).toHaveLength(2);
  expect(readdirSync(dirname(log("ended")))).toEqual(["0.log"]);
  expect([...reopened]).toEqual(["runs"]);
});

test("images are in use by id, by digest, and by name where the engine tells no other", async () => {
  const removed: string[] = [];
  await using engine = await openWith({
    ListContainers: (_call, answer) =>
      answer(null, {
        containers: [
          // containerd
          { id: "1", imageRef: `sha256:${digest("1")}` },
          // CRI-O since Kubernetes 1.29, and before
          { id: "2", imageRef: `mirror.local/two@sha256:${digest("a")}`, imageId: digest("2") },
          { id: "3", imageRef: `docker.io/library/three@sha256:${digest("b")}` },
          { id: "4", image: { image: "docker.io/library/four:1" }, imageRef: "gone" },
        ],
      }),
    ListImages: (_call, answer) =>
      answer(null, {
        images: [
          { id: `sha256:${digest("1")}` },
          { id: digest("2"), repoDigests: [`docker.io/library/two@sha256:${digest("c")}`] },
          { id: digest("3"), repoDigests: [`mirror.local/three@sha256:${digest("b")}`] },
          { id: digest("4"), repoTags: ["docker.io/library/four:1"] },
          { id: digest("5"), repoTags: ["docker.io/library/five:1"] },
        ],
      }),
    RemoveImage: (call, answer) => {
      removed.push((call.request as { readonly image: { readonly image: string } }).image.image);
      answer(null, {});
    },
  });
  const used = [`sha256:${digest("1")}`, digest("2"), digest("3"), digest("4")];
  expect([...(await engine.runtime.usedImages())].toSorted()).toEqual(used.toSorted());
  for (const id of used)
    expect(await engine.runtime.removeImage(id).catch((error: unknown) => error)).toMatchObject({
      code: "image-in-use",
    });
  await engine.runtime.removeImage(digest("5"));
  expect(removed).toEqual([digest("5")]);
});

test("a pull that hangs in the engine fails in the end, and is cancelled", async () => {
  const clock = new FakeClock();
  const asked = Promise.withResolvers<void>();
  const cancelled = Promise.withResolvers<void>();
  await using engine = await openWith(
    {
      PullImage: (call) => {
        call.on("cancelled", cancelled.resolve);
        asked.resolve();
      },
    },
    { clock },
  );
  const pull = engine.runtime.pullImage("app:1", { idleMs: 60_000 }).catch((error: unknown) => error);
  await asked.promise;
  await clock.advance(60 * 60_000);
  expect(await pull).toMatchObject({ code: "image-pull" });
  await cancelled.promise;
});

test("the image that containerd 2 pins is that of sandboxes, which its status does not name", async () => {
  const config = { containerd: { defaultRuntimeName: "runc", runtimes: { runc: { snapshotter: "" } } } };
  const [pause, kept, app] = ["a", "b", "c"].map((digit) => `sha256:${digest(digit)}`);
  const images = [
    { id: kept, repoTags: ["site.example/kept:1"], pinned: true },
    { id: pause, repoTags: ["registry.k8s.io/pause:3.10"], pinned: true },
    { id: app, repoTags: ["docker.io/library/app:1"], pinned: false },
  ];
  await using engine = await openWith({
    Version: (_call, answer) => answer(null, { runtimeName: "containerd", runtimeVersion: "v2.1.9" }),
    Status: (_call, answer) => answer(null, { info: { config: JSON.stringify(config) } }),
    ListImages: (_call, answer) => answer(null, { images }),
    ListPodSandbox: (_call, answer) => answer(null, { items: [{ id: "s" }] }),
  });
  expect(await engine.runtime.usedImages()).toEqual(new Set([pause ?? ""]));
});

test("what happened is seen within a minute, also when another follower of the engine got the event", async () => {
  const clock = new FakeClock();
  const labels = { [labelNames.owner]: "me", [labelNames.podUid]: "uid" };
  let state = 1;
  const isFollowed = Promise.withResolvers<void>();
  await using engine = await openWith(
    {
      ListContainers: (_call, answer) => answer(null, { containers: [{ id: "c", labels, state }] }),
      GetContainerEvents: () => isFollowed.resolve(),
    },
    { clock },
  );
  const seen: string[] = [];
  using _watch = engine.runtime.watch((hint) => {
    if (hint.kind === "container") seen.push(hint.action);
  });
  await isFollowed.promise;
  state = 2;
  await eventually(10_000, async () => {
    await clock.advance(60_000);
    expect(seen).toEqual(["die"]);
  });
});

test.each([
  ["systemd", "kubeedge.slice"],
  ["cgroupfs", "/kubeedge"],
])("CRI-O with %s puts pods below %p", async (manager, parent) => {
  using dir = tempDir("crio");
  const socket = join(dir.path, "crio.sock");
  const config = `[crio.runtime]\n    cgroup_manager = "${manager}"\n[crio.image]\n    pause_image = "site.example/pause:1"\n`;
  // CRI-O answers HTTP and gRPC on one socket; here the first request is the one over HTTP.
  using http = Bun.serve({ unix: socket, fetch: () => new Response(config) });
  const calls = {
    timeoutMs: 5000,
    call: async (_what: string, method: string) =>
      method === "RuntimeConfig"
        ? { linux: null }
        : { runtimeName: "cri-o", runtimeVersion: "1.24.6", info: {} },
  };
  // The engine asks these three methods only, with the fields above.
  const engine = new CriEngine(calls as unknown as CriCalls, `unix://${socket}`);
  expect(await engine.settings()).toEqual({
    cgroupParent: parent,
    sandboxImage: "site.example/pause:1",
    snapshotter: undefined,
  });
  expect(http.pendingRequests).toBe(0);
});
