import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { Node, Pod, PodSpec } from "#shared/kube";
import { loadPluginApi } from "#edge/runtime/device-plugins";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import {
  edgedWorld,
  idle,
  isRunning,
  podOf as dockerPod,
  shell,
} from "#internal/test/support/edge/edged-world.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { DevicePlugin } from "#internal/test/support/machine/device-plugin.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(30_000);
const resource = "example.com/port";
const healthy = (...ids: readonly string[]) => ids.map((ID) => ({ ID, health: "Healthy" }));

function memory() {
  let kept: string | undefined;
  return {
    read: () => kept,
    write: (text: string): void => {
      kept = text;
    },
  };
}

async function world() {
  const dir = tempDir("dp");
  const path = join(dir.path, "dp");
  const runtime = new FakeRuntime(systemClock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  const record = memory();
  edge.cloud = () => ({ Object: { metadata: { uid: "u", resourceVersion: "1", labels: {} } }, Err: null });
  const api = () => loadPluginApi(systemClock);
  const start = (): Promise<void> =>
    edge.start(
      runtime,
      systemClock,
      { dataDir: dir.path, devicePluginPath: path },
      { devicePlugins: { api, record } },
    );
  await start();
  await edge.link(true);
  const plugin = new DevicePlugin(path, "port.sock");
  await plugin.listen();
  const amounts = (): (string | undefined)[] => {
    const patches = edge.requests.filter(({ resource: at }) => at.includes("nodepatch"));
    const { status } = JSON.parse((patches.at(-1)?.content as string | undefined) ?? "{}") as Node;
    return [status?.capacity?.[resource], status?.allocatable?.[resource]];
  };
  const shows = (...wanted: readonly string[]): Promise<void> =>
    edge.until(`amounts ${wanted.join(" ")}`, () => amounts().join(" ") === wanted.join(" "));
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    await plugin[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, runtime, plugin, record, path, start, shows, [Symbol.asyncDispose]: dispose };
}

function podOf(name: string, count: number, spec: Partial<PodSpec> = {}): Pod {
  const limits = { [resource]: String(count) };
  const containers = [{ name: "c", image: "web:1", resources: { limits, requests: limits } }];
  return { metadata: { name, namespace: "default", uid: `uid-${name}` }, spec: { containers, ...spec } };
}

test("a plugin's devices are resources of the Node, by health, and none are allocatable once it has ended", async () => {
  await using at = await world();
  const { plugin, shows } = at;
  plugin.devices = healthy("a", "b");
  await plugin.register(resource);
  await shows("2", "2");
  plugin.update([...healthy("a"), { ID: "b", health: "Unhealthy" }]);
  await shows("2", "1");
  await plugin[Symbol.asyncDispose]();
  await shows("2", "0");
});

const refused: readonly [string, string, object, string][] = [
  ["another version", resource, { version: "v1alpha" }, 'requested API version "v1alpha" is not supported'],
  ["a path out of the folder", resource, { endpoint: "../../run/x.sock" }, "is no name of a socket"],
  ["the socket of the node itself", resource, { endpoint: "kubelet.sock" }, "is no name of a socket"],
  ["a resource of Kubernetes", "cpu", {}, 'the ResourceName "cpu" is invalid'],
  ["a resource in Kubernetes' domain", "kubernetes.io/cpu", {}, "is invalid"],
];

test.each(refused)("a registration with %s is refused", async (_what, name, more, text) => {
  await using at = await world();
  await expect(at.plugin.register(name, more)).rejects.toThrow(text);
});

test("containers get what the plugin allocates, no device twice, and those of pods that ended are free again", async () => {
  await using at = await world();
  const { edge, runtime, plugin, shows } = at;
  plugin.devices = healthy("a", "b", "c");
  plugin.options = { preStartRequired: true };
  plugin.answer = (ids) => ({
    envs: { PORTS: ids.join(",") },
    mounts: [{ containerPath: "/lib/port", hostPath: "/usr/lib/port", readOnly: true }],
    devices: ids.map((id) => ({ containerPath: `/dev/${id}`, hostPath: "/dev/null", permissions: "rw" })),
  });
  await plugin.register(resource);
  await shows("3", "3");
  await edge.apply(podOf("one", 2));
  await edge.until("one runs", () => edge.status("uid-one")?.phase === "Running");
  expect(runtime.specs().find(({ identity }) => identity.role === "container")).toMatchObject({
    env: expect.arrayContaining(["PORTS=a,b"]),
    mounts: expect.arrayContaining([{ source: "/usr/lib/port", target: "/lib/port", readOnly: true }]),
    devices: [
      { containerPath: "/dev/a", hostPath: "/dev/null", permissions: "rw" },
      { containerPath: "/dev/b", hostPath: "/dev/null", permissions: "rw" },
    ],
  });
  expect([plugin.allocated, plugin.started]).toEqual([[["a", "b"]], [["a", "b"]]]);
  await edge.apply(podOf("two", 1));
  await edge.until("two runs", () => edge.status("uid-two")?.phase === "Running");
  expect(plugin.allocated.at(-1)).toEqual(["c"]);
  const pod = podOf("one", 2);
  await edge.apply({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } });
  await edge.until("one is gone", () => edge.terminated.length === 1);
  await edge.apply(podOf("three", 2));
  await edge.until("three runs", () => edge.status("uid-three")?.phase === "Running");
  expect(plugin.allocated.at(-1)).toEqual(["a", "b"]);
});

test("a pod is refused in kubelet's words when there are too few devices, or the plugin cannot give them", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = [...healthy("a"), { ID: "b", health: "Unhealthy" }];
  plugin.answer = undefined;
  await plugin.register(resource);
  await shows("2", "1");
  await edge.apply(podOf("many", 2));
  await edge.apply(podOf("broken", 1));
  await edge.until("both failed", () =>
    ["many", "broken"].every((one) => edge.status(`uid-${one}`)?.phase === "Failed"),
  );
  expect(edge.status("uid-many")).toMatchObject({ reason: `OutOf${resource}` });
  expect(edge.status("uid-broken")).toMatchObject({
    reason: "UnexpectedAdmissionError",
    message: "Pod was rejected: Allocate failed due to the device is on fire, which is unexpected",
  });
});

test("a plugin that prefers devices which it was not offered, or too few, does not get its way", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = healthy("a", "b", "c");
  plugin.options = { getPreferredAllocationAvailable: true };
  plugin.preferred = ["c"];
  await plugin.register(resource);
  await shows("3", "3");
  await edge.apply(podOf("one", 1));
  await edge.until("one runs", () => edge.status("uid-one")?.phase === "Running");
  plugin.preferred = ["c"];
  await edge.apply(podOf("two", 1));
  await edge.until("two runs", () => edge.status("uid-two")?.phase === "Running");
  expect(plugin.allocated).toEqual([["c"], ["a"]]);
});

test("a plugin that hangs keeps no pod waiting that wants nothing of it", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = healthy("a");
  plugin.hangs = true;
  await plugin.register(resource);
  await shows("1", "1");
  await edge.apply(podOf("waits", 1));
  await until(() => plugin.allocated.length === 1);
  const plain = podOf("plain", 1);
  await edge.apply({ ...plain, spec: { containers: [{ name: "c", image: "web:1" }] } });
  await edge.until("plain runs", () => edge.status("uid-plain")?.phase === "Running");
  expect(edge.status("uid-waits")).toBeUndefined();
});

test("a pod that wants devices is refused while their plugin has not registered again", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = healthy("a");
  await plugin.register(resource);
  await shows("1", "1");
  await edge.stop();
  await plugin[Symbol.asyncDispose]();
  await at.start();
  await edge.link(true);
  await shows("0", "0");
  await edge.apply(podOf("early", 1));
  await edge.until("early is refused", () => edge.status("uid-early")?.phase === "Failed");
  expect(edge.status("uid-early")?.reason).toBe(`OutOf${resource}`);
});

test("what was given out is kept over a restart, for the same containers, before the plugin is back", async () => {
  await using at = await world();
  const { edge, runtime, plugin, shows } = at;
  plugin.devices = healthy("a", "b");
  plugin.answer = (ids) => ({ envs: { PORT: ids.join(",") } });
  await plugin.register(resource);
  await shows("2", "2");
  await edge.apply(podOf("one", 1));
  await edge.until("one runs", () => edge.status("uid-one")?.phase === "Running");
  await edge.stop();
  await plugin[Symbol.asyncDispose]();
  edge.pods.set("uid-one", { ...podOf("one", 1), status: edge.status("uid-one") ?? {} });
  for (const { id } of await runtime.list()) await runtime.remove(id);
  await at.start();
  await edge.link(true);
  await edge.until("one runs again", () => runtime.specs().length === 2);
  const spec = (name: string) =>
    runtime.specs().find(({ identity }) => identity.podName === name && identity.role === "container");
  expect(spec("one")).toMatchObject({ env: expect.arrayContaining(["PORT=a"]) });
  await using again = new DevicePlugin(at.path, "again.sock");
  again.devices = healthy("a", "b");
  again.answer = (ids) => ({ envs: { PORT: ids.join(",") } });
  await again.listen();
  await again.register(resource);
  await shows("2", "2");
  await edge.apply(podOf("two", 1));
  await edge.until("two runs", () => edge.status("uid-two")?.phase === "Running");
  expect(again.allocated).toEqual([["b"]]);
});

test("a pod that has its devices is admitted again before the plugin is back, also when nothing is stored of its status", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = healthy("a");
  await plugin.register(resource);
  await shows("1", "1");
  await edge.apply(podOf("one", 1));
  await edge.until("one runs", () => edge.status("uid-one")?.phase === "Running");
  await edge.stop();
  await plugin[Symbol.asyncDispose]();
  edge.pods.set("uid-one", podOf("one", 1));
  edge.statuses.clear();
  await at.start();
  await edge.link(true);
  await edge.until("one runs again", () => edge.status("uid-one") !== undefined);
  expect(edge.status("uid-one")?.phase).toBe("Running");
});

test("the device of an init container goes to one container of the pod, that of a sidecar to no other", async () => {
  await using at = await world();
  const { edge, plugin, shows } = at;
  plugin.devices = healthy("a", "b", "c");
  await plugin.register(resource);
  await shows("3", "3");
  const limits = { [resource]: "1" };
  const one = (name: string) => ({ name, image: "web:1", resources: { limits, requests: limits } });
  await edge.apply(
    podOf("many", 1, {
      initContainers: [one("init"), { ...one("sidecar"), restartPolicy: "Always" }],
      containers: [one("first"), one("second")],
    }),
  );
  await until(() => plugin.allocated.length === 4);
  expect(plugin.allocated).toEqual([["a"], ["a"], ["b"], ["c"]]);
});

const image = `kubeedge-dp-${process.pid}:1`;
let made: Disposable | undefined;
beforeAll(() => {
  if (hasEngine()) made = busyboxImage(image);
});
afterAll(() => made?.[Symbol.dispose]());

test.skipIf(!hasEngine())(
  "a container on Docker has the device of a plugin, and one of a hostPath",
  async () => {
    using dir = tempDir("dp");
    const path = join(dir.path, "dp");
    const devicePlugins = { api: () => loadPluginApi(systemClock), record: memory() };
    await using at = await edgedWorld(`dp-${process.pid}`, { devicePluginPath: path }, { devicePlugins });
    await using plugin = new DevicePlugin(path, "zero.sock");
    plugin.devices = healthy("z");
    plugin.answer = () => ({
      envs: { DEVICE: "/dev/given" },
      devices: [{ containerPath: "/dev/given", hostPath: "/dev/zero", permissions: "r" }],
    });
    await plugin.listen();
    await plugin.register("example.com/zero");
    await until(() => plugin.isWatched);
    const limits = { "example.com/zero": "1" };
    const script = `test -c /dev/given && test -c /dev/own && test $DEVICE = /dev/given && dd if=/dev/given of=/tmp/read bs=4 count=1; ${idle}`;
    const container = shell(image, script, {
      resources: { limits, requests: limits },
      volumeMounts: [{ name: "own", mountPath: "/dev/own" }],
    });
    const volumes = [{ name: "own", hostPath: { path: "/dev/null", type: "CharDevice" } }];
    const pod = dockerPod("device", { containers: [container], volumes });
    await at.edge.apply(pod);
    await at.edge.until("runs", () => isRunning(at.edge, pod));
    const id = docker(
      "ps",
      "-q",
      "--filter",
      `label=io.kubernetes.pod.uid=${pod.metadata.uid}`,
      "--filter",
      "label=io.kubernetes.container.name=c",
    );
    await until(() => docker("exec", id, "ls", "/tmp").includes("read"));
    expect(docker("exec", id, "stat", "-c", "%s", "/tmp/read")).toBe("4");
    expect(plugin.allocated).toEqual([["z"]]);
  },
);

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 200 && !condition(); turn += 1) await Bun.sleep(50);
  expect(condition()).toBe(true);
}
