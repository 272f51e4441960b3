import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerDetails, RuntimeHint, SandboxSpec, StrayContainer } from "#edge/runtime";
import type { Pod, PodSpec } from "#shared/kube";
import { sandboxSpec } from "#internal/edge/edged/pods/container-spec.ts";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

async function world(
  prepare?: (at: { runtime: FakeRuntime; edge: EdgedHarness; dataDir: string }) => void,
  makeRuntime = (clock: FakeClock): FakeRuntime => new FakeRuntime(clock),
) {
  const dir = tempDir("edged");
  const clock = new FakeClock();
  const runtime = makeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  prepare?.({ runtime, edge, dataDir: dir.path });
  await edge.start(runtime, clock, { dataDir: dir.path });
  await clock.advance(0);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, dataDir: dir.path, [Symbol.asyncDispose]: dispose };
}

function makePod(spec: Partial<PodSpec> = {}, name = "web"): Pod {
  const containers = [{ name: "c", image: "web:1" }];
  return { metadata: { name, namespace: "default", uid: `uid-${name}` }, spec: { containers, ...spec } };
}

test("edged starts a stored pod once the engine can be reached, without waiting for it", async () => {
  await using at = await world(({ edge, runtime }) => {
    runtime.unreachable = true;
    edge.pods.set("uid-web", makePod());
  });
  const { edge, clock, runtime } = at;
  expect(runtime.specs()).toEqual([]);
  runtime.unreachable = false;
  await clock.advance(0);
  expect(runtime.specs().map(({ identity }) => identity.container)).toEqual(["POD", "c"]);
  expect(edge.status("uid-web")?.phase).toBe("Running");
});

test("edged only lists the engine while nothing changes", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.apply(makePod());
  await clock.advance(1500);
  const before = runtime.calls;
  await clock.advance(5000);
  expect(runtime.calls - before).toBe(5);
  expect(edge.statuses.get("uid-web")?.map((one) => one.phase)).toEqual(["Pending", "Running"]);
});

test("edged shows a failing pull, backs off, and starts when the image is there", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.apply(makePod({ containers: [{ name: "c", image: "new:1" }] }));
  await clock.advance(0);
  const reason = () => edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting?.reason;
  const seen = [reason()];
  await clock.advance(1000);
  seen.push(reason());
  runtime.registry.add("new:1");
  await clock.advance(10_000);
  expect([...seen, edge.status("uid-web")?.phase]).toEqual(["ErrImagePull", "ImagePullBackOff", "Running"]);
  expect(edge.reasons()).toEqual([
    "Pulling",
    "Failed",
    "Failed",
    "BackOff",
    "Pulling",
    "Pulled",
    "Created",
    "Started",
  ]);
  expect(edge.events[1]?.message).toBe('Failed to pull image "new:1": new:1: not found');
});

test("edged never pulls with policy Never", async () => {
  await using at = await world();
  const { edge, clock } = at;
  await edge.apply(makePod({ containers: [{ name: "c", image: "new:1", imagePullPolicy: "Never" }] }));
  await clock.advance(0);
  expect(edge.status("uid-web")?.containerStatuses?.[0]?.state?.waiting).toEqual({
    reason: "ErrImageNeverPull",
    message: 'Container image "new:1" is not present with pull policy of Never',
  });
});

test("edged ends the pod of an old uid when its name is taken by another", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.apply(makePod());
  await clock.advance(0);
  const next = makePod();
  await edge.apply({ ...next, metadata: { ...next.metadata, uid: "uid-next" } });
  await clock.advance(2000);
  expect(new Set(runtime.specs().map(({ identity }) => identity.podUid))).toEqual(new Set(["uid-next"]));
});

test("edged confirms the deletion of a pod after its containers were removed", async () => {
  await using at = await world();
  const { edge, clock, runtime, dataDir } = at;
  const pod = makePod();
  await edge.apply(pod);
  await clock.advance(0);
  const metadata = {
    ...pod.metadata,
    deletionTimestamp: "2026-01-01T00:00:00Z",
    deletionGracePeriodSeconds: 5,
  };
  await edge.apply({ ...pod, metadata });
  await clock.advance(0);
  expect(edge.terminated).toEqual([{ namespace: "default", name: "web", uid: "uid-web" }]);
  expect([runtime.specs(), existsSync(join(dataDir, "pods/uid-web"))]).toEqual([[], false]);
});

test("edged confirms a repeated deletion again and logs the removal once", async () => {
  await using at = await world();
  const { edge, clock } = at;
  const pod = makePod();
  const deleted = { ...pod, metadata: { ...pod.metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } };
  await edge.apply(pod);
  await clock.advance(0);
  await edge.apply(deleted);
  await clock.advance(0);
  await edge.apply(deleted);
  await clock.advance(2000);
  expect(edge.log.lines.filter((line) => line.includes('"pod removed"'))).toHaveLength(1);
  expect([edge.terminated.length, edge.pods.size]).toEqual([2, 0]);
});

test("edged keeps unknown pods until the cloud confirms that they do not exist", async () => {
  await using at = await world();
  const { edge, clock, runtime, dataDir } = at;
  const known = makePod({}, "known");
  await edge.apply(makePod({ volumes: [{ name: "v", emptyDir: {} }] }));
  await edge.apply(known);
  await clock.advance(0);
  await edge.stop();
  edge.pods.delete("uid-web");
  mkdirSync(join(dataDir, "pods/uid-nameless"));
  const left = (): string[] => runtime.specs().map(({ identity }) => identity.podName);
  await edge.start(runtime, clock, { dataDir });
  await clock.advance(5000);
  expect([left().sort(), edge.confirmed]).toEqual([["known", "known", "web", "web"], []]);
  await edge.link(true);
  await clock.advance(5000);
  const web = { namespace: "default", name: "web", uid: "uid-web" };
  expect([left().length, edge.confirmed]).toEqual([4, [web]]);
  await edge.link(false);
  edge.verdict = "gone";
  await clock.advance(70_000);
  expect([left().length, edge.confirmed]).toEqual([4, [web]]);
  await edge.link(true);
  await clock.advance(5000);
  expect([left(), readdirSync(join(dataDir, "pods")).sort()]).toEqual([
    ["known", "known"],
    ["uid-known", "uid-nameless"],
  ]);
  const event = edge.events.find(({ reason }) => reason === "RemovedUnknownPod");
  expect([event?.involvedObject, event?.message]).toEqual([
    { apiVersion: "v1", kind: "Node", name: "edge-1", uid: "edge-1" },
    "Removed 2 containers of pod default/web (uid-web): the cluster does not know this pod",
  ]);
});

test("edged removes the directory of a pod without containers by the name kept in it", async () => {
  await using at = await world();
  const { edge, clock, runtime, dataDir } = at;
  await edge.apply(makePod());
  await clock.advance(0);
  await edge.stop();
  for (const { id } of await runtime.list()) await runtime.remove(id);
  edge.pods.clear();
  edge.verdict = "gone";
  await edge.start(runtime, clock, { dataDir });
  await edge.link(true);
  await clock.advance(2000);
  expect(readdirSync(join(dataDir, "pods"))).toEqual([]);
});

test("edged removes containers of an abandoned data directory of its node, wanted or not, and no others", async () => {
  await using at = await world();
  const { edge, clock, runtime, dataDir } = at;
  using used = tempDir("used");
  using foreign = tempDir("foreign");
  for (const [dir, text] of [
    [dataDir, "ours"],
    [foreign.path, "theirs"],
  ] as const) {
    mkdirSync(join(dir, "certs"));
    writeFileSync(join(dir, "certs/rootCA.crt"), text);
  }
  using _other = holdOpen(join(used.path, "edgecore.db"));
  const stray = async (name: string, where: string): Promise<StrayContainer> => {
    const { id, identity, phase } = await runtime.runSandbox(strayOf(name));
    return { id, identity, phase, dataDir: where };
  };
  runtime.strays = [
    await stray("gone", "/nowhere"),
    await stray("used", used.path),
    await stray("foreign", foreign.path),
  ];
  const left = (): string[] => runtime.specs().map(({ identity }) => identity.podName);
  await edge.link(true);
  await clock.advance(100);
  expect(left()).toEqual(["gone", "used", "foreign"]);
  edge.verdict = "here";
  await clock.advance(61_000);
  expect(left()).toEqual(["used", "foreign"]);
});

function strayOf(podName: string): SandboxSpec {
  const pod = {
    metadata: { name: podName, namespace: "default", uid: `uid-${podName}` },
    spec: { containers: [] },
  };
  const security = { allowedUnsafeSysctls: [], seccompDir: "", appArmor: false };
  const dns = { servers: [], domain: "" };
  return sandboxSpec(pod, { attempt: 0, dns, security });
}

/** A process that has a file open, as an edgecore has its database. */
function holdOpen(path: string): Disposable {
  const child = Bun.spawn(["sh", "-c", `exec 9>${path}; echo ready; exec sleep 60`], { stdout: "pipe" });
  while (!existsSync(path)) Bun.sleepSync(5);
  return { [Symbol.dispose]: () => child.kill() };
}

test("edged refuses a pod whose uid or container names would leave their place", async () => {
  await using at = await world();
  const pod = makePod();
  await at.edge.apply({ ...pod, metadata: { ...pod.metadata, uid: "../../evil" } });
  for (const name of ["../../evil", "POD", "a_b", "A", ""]) {
    const initContainers = [{ name, image: "web:1" }];
    await at.edge.apply(makePod({ initContainers }));
  }
  await at.clock.advance(0);
  expect([at.runtime.specs(), at.edge.errors]).toEqual([[], []]);
});

/** A runtime whose hint about the sandbox arrives while another container of the pod is inspected. */
class LateHints extends FakeRuntime {
  #deliver: (hint: RuntimeHint) => void = () => undefined;

  override watch(deliver: (hint: RuntimeHint) => void): Disposable {
    this.#deliver = deliver;
    return super.watch(deliver);
  }

  override async inspect(id: string): Promise<ContainerDetails | undefined> {
    const details = await super.inspect(id);
    const [sandbox] = await super.list(details?.identity.podUid);
    if (details?.identity.role === "container" && sandbox)
      this.#deliver({
        kind: "container",
        id: sandbox.id,
        podUid: sandbox.identity.podUid,
        action: "start",
      });
    return details;
  }
}

test("edged keeps a pod's sandbox when a hint about it arrives while the pod is observed", async () => {
  await using at = await world(undefined, (clock) => new LateHints(clock));
  const { edge, clock, runtime } = at;
  await edge.apply(makePod());
  await clock.advance(0);
  await clock.advance(2000);
  expect(runtime.specs().map(({ identity }) => [identity.container, identity.attempt])).toEqual([
    ["POD", 0],
    ["c", 0],
  ]);
  expect(edge.reasons()).toEqual(["Pulled", "Created", "Started"]);
});

test("edged tells the end of the log of a container that failed, where its pod asks for it", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  const container = {
    name: "c",
    image: "web:1",
    terminationMessagePolicy: "FallbackToLogsOnError" as const,
  };
  await edge.apply(makePod({ restartPolicy: "Never", containers: [container] }));
  await clock.advance(1500);
  const id = edge.status("uid-web")?.containerStatuses?.[0]?.containerID?.slice("docker://".length) ?? "";
  runtime.written.set(id, "no such device\n");
  runtime.exit(id, 1);
  await clock.advance(1500);
  expect(edge.status("uid-web")?.containerStatuses?.[0]?.state).toMatchObject({
    terminated: { exitCode: 1, message: "no such device\n" },
  });
});

test("edged writes labels and annotations that change into the files of a running pod", async () => {
  await using at = await world();
  const { edge, clock, dataDir } = at;
  const items = ["labels", "annotations"].map((name) => ({
    path: name,
    fieldRef: { fieldPath: `metadata.${name}` },
  }));
  const pod = makePod({ volumes: [{ name: "info", downwardAPI: { items } }] });
  const file = (name: string): string =>
    readFileSync(join(dataDir, "pods/uid-web/volumes/info", name), "utf8");
  await edge.apply({ ...pod, metadata: { ...pod.metadata, labels: { a: "1" } } });
  await clock.advance(1500);
  expect(file("labels")).toBe('a="1"');
  const changed = { labels: { a: "2" }, annotations: { b: "3" } };
  await edge.apply({ ...pod, metadata: { ...pod.metadata, ...changed } });
  await clock.advance(1500);
  expect([file("labels"), file("annotations")]).toEqual(['a="2"', 'b="3"']);
});
