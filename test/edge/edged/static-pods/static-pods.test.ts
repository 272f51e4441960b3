import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "#shared/kube";
import type { NewMessage } from "#shared/wire";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const manifest = (name: string, image = "web:1", more = ""): string => `apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: { app: ${name} }
spec:
  ${more}
  containers:
    - name: c
      image: ${image}
      resources: { requests: { cpu: 0.1, memory: 1048576 } }
`;

async function world(prepare?: (folder: string) => void) {
  const dir = tempDir("static");
  const folder = join(dir.path, "manifests");
  mkdirSync(folder);
  prepare?.(folder);
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  runtime.addImage("web:2");
  const edge = new EdgedHarness();
  const start = async (): Promise<void> => {
    await edge.start(runtime, clock, { dataDir: dir.path, staticPodPath: folder });
    await clock.advance(0);
  };
  await start();
  /** Lets the folder be read: its files are real ones. */
  const look = async (seconds = 21): Promise<void> => {
    for (let turn = 0; turn < seconds; turn += 1) {
      await clock.advance(1000);
      await Bun.sleep(2);
    }
  };
  const running = (): string[] =>
    runtime
      .specs()
      .filter(({ identity }) => identity.role === "container")
      .map(({ identity, ...spec }) => `${identity.podName} ${"image" in spec ? spec.image : ""}`)
      .toSorted();
  const put = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, folder, put, look, running, start, [Symbol.asyncDispose]: dispose };
}

type World = Awaited<ReturnType<typeof world>>;

/** A cloud that keeps the Node and pods. */
function cloudOf({ edge }: Pick<World, "edge">) {
  const pods = new Map<string, Pod>();
  let next = 1;
  const failure = (reason: string) => ({
    Object: {},
    Err: { ErrStatus: { status: "Failure", reason, message: reason } },
  });
  const node = { metadata: { name: "edge-1", uid: "node-uid", labels: {}, resourceVersion: "1" } };
  edge.cloud = ({ operation, resource, content }: NewMessage): unknown => {
    if (resource.includes("/node")) return operation === "query" ? node : { Object: node, Err: null };
    if (!resource.includes("/pod")) return { Object: { metadata: {} }, Err: null };
    const key = resource.replace("podpatch", "pod");
    const found = pods.get(key);
    if (operation === "insert") {
      if (found) return failure("AlreadyExists");
      const given = content as Pod;
      const made = { ...given, metadata: { ...given.metadata, uid: `mirror-${next}` } };
      next += 1;
      pods.set(key, made);
      return { Object: made, Err: null };
    }
    return found ? { Object: found, Err: null } : failure("NotFound");
  };
  return pods;
}

test("static pods run without a cloud ever seen, named for the node, from YAML and JSON, one a file", async () => {
  await using at = await world((folder) => {
    writeFileSync(join(folder, "web.yaml"), manifest("web"));
    const json = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "api", namespace: "kube-system" },
      spec: { containers: [{ name: "c", image: "web:2" }] },
    };
    writeFileSync(join(folder, "api.json"), JSON.stringify(json));
    writeFileSync(join(folder, ".hidden.yaml"), manifest("hidden"));
    mkdirSync(join(folder, "folder.yaml"));
  });
  expect(at.running()).toEqual(["api-edge-1 web:2", "web-edge-1 web:1"]);
  expect([at.edge.requests, at.edge.errors]).toEqual([[], []]);
});

/** Of parsers' texts the beginning is ours. */
const bad: readonly [string, string][] = [
  ["a: [", "neither YAML nor JSON: YAML Parse error: Unexpected EOF"],
  ["just text", "expected a pod, got something else"],
  [`${manifest("a")}---\n${manifest("b")}`, "expected one pod in a file, got 2"],
  [
    manifest("a").replace("kind: Pod", "kind: Deployment"),
    'expected apiVersion v1 and kind Pod, got "v1" and "Deployment"',
  ],
  [manifest("a").replace("name: a", "name: 5"), "metadata.name: expected a name"],
  [manifest("a").replace("name: c", "name: C_"), 'a container is called "C_": expected a DNS label'],
  [manifest("a").replace("image: web:1", "image: [1]"), "spec.containers[0].image: expected a string"],
  [manifest("a", "web:1", "serviceAccountName: admin"), "a mirror pod may not reference service accounts"],
  [
    manifest("a", "web:1", "volumes: [{ name: v, secret: { secretName: s } }]"),
    "a mirror pod may not reference secrets",
  ],
];

test.each(bad)(
  "a file with %j is reported with its name and what is wrong, once, and others run",
  async (text, reason) => {
    await using at = await world((folder) => {
      writeFileSync(join(folder, "bad.yaml"), text);
      writeFileSync(join(folder, "good.yaml"), manifest("good"));
    });
    await at.look(45);
    const lines = at.edge.log.lines.filter((line) => line.includes("a static pod cannot be used"));
    expect(lines).toHaveLength(1);
    const found = JSON.parse(lines[0] ?? "{}") as { file: string; reason: string };
    expect([found.file, found.reason.slice(0, 40)]).toEqual([
      join(at.folder, "bad.yaml"),
      reason.slice(0, 40),
    ]);
    expect(at.running()).toEqual(["good-edge-1 web:1"]);
  },
);

test("a pod follows its file: changed, broken, repaired, removed", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  at.put("web.yaml", manifest("web", "web:2"));
  await at.look();
  expect(at.running()).toEqual(["web-edge-1 web:2"]);
  at.put("web.yaml", "spec: [");
  await at.look();
  expect(at.running()).toEqual(["web-edge-1 web:2"]);
  const ids = at.runtime.ids();
  at.put("web.yaml", `# a comment\n${manifest("web", "web:2")}`);
  await at.look();
  expect(at.runtime.ids()).toEqual(ids);
  rmSync(join(at.folder, "web.yaml"));
  await at.look();
  expect([at.running(), at.runtime.ids()]).toEqual([[], []]);
});

test("a pod whose file was removed while edgecore was down is removed without the cloud, one that stays is taken over", async () => {
  await using at = await world((folder) => {
    for (const name of ["gone", "stays"]) writeFileSync(join(folder, `${name}.yaml`), manifest(name));
  });
  const before = at.runtime.specs().map(({ identity }) => identity.podName);
  await at.edge.stop();
  rmSync(join(at.folder, "gone.yaml"));
  await at.start();
  await at.look(5);
  expect(before).toHaveLength(4);
  expect(at.running()).toEqual(["stays-edge-1 web:1"]);
  expect([at.runtime.specs().length, at.edge.confirmed]).toEqual([2, []]);
});

test("a pod whose file cannot be used when edgecore starts is kept, also with a cloud that does not know it, until the file is repaired", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  at.edge.verdict = "gone";
  const ids = at.runtime.ids();
  await at.edge.stop();
  at.put("web.yaml", "spec: [");
  await at.start();
  await at.edge.link(true);
  await at.look(65);
  expect([at.runtime.ids(), at.edge.confirmed]).toEqual([ids, []]);
  at.put("web.yaml", manifest("web", "web:2"));
  await at.look(65);
  expect(at.running()).toEqual(["web-edge-1 web:2"]);
});

test("a pod whose file cannot be used when edgecore starts runs on as it was: a container that ends is started again", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  await at.edge.stop();
  at.put("web.yaml", "spec: [");
  await at.start();
  const all = await at.runtime.list();
  at.runtime.exit(all.find(({ identity }) => identity.role === "container")?.id ?? "", 1);
  await at.look(30);
  const runs = await at.runtime.list();
  expect(
    runs.map(({ identity, phase }) => `${identity.role} ${identity.attempt} ${phase}`).toSorted(),
  ).toEqual(["container 0 exited", "container 1 running", "sandbox 0 running"]);
});

test("what a file was is forgotten with the file, and what was kept is not believed when it is damaged", async () => {
  await using at = await world((folder) => {
    for (const name of ["gone", "hurt"]) writeFileSync(join(folder, `${name}.yaml`), manifest(name));
  });
  const kept = join(at.folder, "..", "static-pods");
  rmSync(join(at.folder, "gone.yaml"));
  await at.look();
  const [name = "", ...others] = readdirSync(kept);
  await at.edge.stop();
  writeFileSync(join(kept, name), '{"pod": {"spec"');
  at.put("hurt.yaml", "spec: [");
  at.put("gone.yaml", "spec: [");
  await at.start();
  await at.look(5);
  const lines = at.edge.log.lines.filter((line) => line.includes("a static pod cannot be used"));
  expect([others, lines.map((line) => (JSON.parse(line) as { keeps: boolean }).keeps)]).toEqual([
    [],
    [false, false],
  ]);
  expect(at.runtime.ids().length).toBeGreaterThan(0);
});

test("files that cannot be read leave everything as it is", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  renameSync(at.folder, `${at.folder}-away`);
  writeFileSync(at.folder, "no folder");
  await at.look(45);
  expect(at.running()).toEqual(["web-edge-1 web:1"]);
  expect(
    at.edge.log.lines.filter((line) => line.includes("cannot read the folder of static pods")),
  ).toHaveLength(1);
});

test("a file that is replaced every second leaves one pod, that of its last contents", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  for (let turn = 0; turn < 30; turn += 1) {
    const next = join(at.folder, ".next");
    writeFileSync(next, manifest("web", turn % 2 === 0 ? "web:2" : "web:1", `hostname: h${turn}`));
    renameSync(next, join(at.folder, "web.yaml"));
    await at.look(1);
    const uids = new Set(at.runtime.specs().map(({ identity }) => identity.podUid));
    expect(uids.size).toBeLessThanOrEqual(1);
  }
  await at.look();
  const hosts = at.runtime.specs().flatMap((spec) => ("network" in spec ? [spec.network] : []));
  expect(hosts).toEqual([{ kind: "own", hostname: "h29", ports: [] }]);
});

test("of a thousand files as many run as the node takes, and none of them blocks a pod of the cloud that runs", async () => {
  await using at = await world();
  const pod: Pod = {
    metadata: { name: "first", namespace: "default", uid: "uid-first" },
    spec: { containers: [{ name: "c", image: "web:1" }] },
  };
  await at.edge.apply(pod);
  await at.clock.advance(0);
  for (let index = 0; index < 1000; index += 1)
    at.put(`p${index}.yaml`, manifest(`p${index}`).replaceAll("0.1", "0"));
  for (let turn = 0; turn < 500 && at.running().length < 110; turn += 1) await at.look(5);
  expect([at.running().length, at.edge.status("uid-first")?.phase]).toEqual([110, "Running"]);
}, 60_000);

test("a mirror pod is made once the Node is known, takes the status, and is made again when it is deleted", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  const { edge, clock } = at;
  const pods = cloudOf(at);
  await edge.link(true);
  await at.look(5);
  const [[key, mirror] = []] = [...pods];
  const hash = mirror?.metadata.annotations?.["kubernetes.io/config.hash"];
  expect(hash).toMatch(/^[0-9a-f]{32}$/);
  expect([key, mirror]).toMatchObject([
    "default/pod/web-edge-1",
    {
      metadata: {
        name: "web-edge-1",
        namespace: "default",
        labels: { app: "web" },
        annotations: { "kubernetes.io/config.source": "file", "kubernetes.io/config.mirror": hash },
        ownerReferences: [
          { apiVersion: "v1", kind: "Node", name: "edge-1", uid: "node-uid", controller: true },
        ],
      },
      spec: {
        nodeName: "edge-1",
        containers: [{ resources: { requests: { cpu: "0.1", memory: "1048576" } } }],
      },
    },
  ]);
  await edge.apply(mirror as Pod);
  await clock.advance(0);
  expect([edge.status("mirror-1")?.phase, at.running()]).toEqual(["Running", ["web-edge-1 web:1"]]);
  const metadata = { ...mirror?.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" };
  pods.clear();
  await edge.apply({ ...mirror, metadata } as Pod);
  await at.look(5);
  expect(edge.terminated).toEqual([{ namespace: "default", name: "web-edge-1", uid: "mirror-1" }]);
  expect([...pods.values()].map((one) => one.metadata.uid)).toEqual(["mirror-2"]);
  expect(at.running()).toEqual(["web-edge-1 web:1"]);
  rmSync(join(at.folder, "web.yaml"));
  await at.look();
  expect(edge.terminated.at(-1)?.uid).toBe("mirror-2");
  expect(at.running()).toEqual([]);
});

test("the mirror of a pod that changed is replaced, and one without a pod is removed", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  const { edge } = at;
  const pods = cloudOf(at);
  const stale = (name: string): Pod => ({
    metadata: {
      name,
      namespace: "default",
      uid: `old-${name}`,
      annotations: { "kubernetes.io/config.mirror": "old" },
    },
    spec: { nodeName: "edge-1", containers: [{ name: "c", image: "web:1" }] },
  });
  pods.set("default/pod/web-edge-1", stale("web-edge-1"));
  await edge.apply(stale("left-edge-1"));
  await edge.link(true);
  await at.look(2);
  expect(edge.terminated.map(({ uid }) => uid).toSorted()).toEqual(["old-left-edge-1", "old-web-edge-1"]);
  pods.delete("default/pod/web-edge-1");
  await at.look(10);
  expect([...pods.values()].map(({ metadata }) => metadata.uid)).toEqual(["mirror-1"]);
  expect(at.running()).toEqual(["web-edge-1 web:1"]);
});

test("a pod of the API does not become static by its annotations, nor take the place of a static pod", async () => {
  await using at = await world((folder) => writeFileSync(join(folder, "web.yaml"), manifest("web")));
  const annotations = { "kubernetes.io/config.source": "file" };
  const pod = (name: string): Pod => ({
    metadata: { name, namespace: "default", uid: `uid-${name}`, annotations },
    spec: { containers: [{ name: "c", image: "web:2" }] },
  });
  await at.edge.apply(pod("other"));
  await at.edge.apply(pod("web-edge-1"));
  await at.clock.advance(0);
  expect(at.running()).toEqual(["other web:2", "web-edge-1 web:1"]);
  expect(at.edge.status("uid-other")?.phase).toBe("Running");
});
