import { expect, test } from "bun:test";
import type { Pod } from "#shared/kube";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const main = { name: "c", image: "web:1" };
const claim = { name: "v", configMap: { name: "m" } };

/** Parts of a pod that no API server would store, sent by a broken cloud or read from a damaged disk. */
const odd: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "a spec of null": { spec: null },
  "a list of containers that is a text": { spec: { containers: "c" } },
  "a container of null": { spec: { containers: [null] } },
  "a container with a number as image": { spec: { containers: [{ name: "c", image: 5 }] } },
  "a container with a list as name": { spec: { containers: [{ name: ["c"], image: "web:1" }] } },
  "init containers that are an object": { spec: { containers: [main], initContainers: {} } },
  "an init container of null": { spec: { containers: [main], initContainers: [null] } },
  "a number as volumes": { spec: { containers: [main], volumes: 5 } },
  "a volume of null": { spec: { containers: [main], volumes: [null] } },
  "a number as sources of a volume": {
    spec: { containers: [main], volumes: [{ name: "v", projected: { sources: 5 } }] },
  },
  "a number as env": { spec: { containers: [{ ...main, env: 5 }] } },
  "an env entry of null": { spec: { containers: [{ ...main, env: [null] }] } },
  "an object as ports": { spec: { containers: [{ ...main, ports: {} }] } },
  "a text as mounts": { spec: { containers: [{ ...main, volumeMounts: "x" }] } },
  "a pull secret of null": { spec: { containers: [main], imagePullSecrets: [null] } },
  "a number as uid": { metadata: { uid: 5 } },
  "a list as uid": { metadata: { uid: ["../../etc"] } },
  "a number as namespace": { metadata: { namespace: 5 } },
  "a number as labels": { metadata: { labels: 5 } },
  "a number as status": { status: 5 },
};

function oddPod(name: string): Pod {
  const { metadata = {}, ...rest } = odd[name] ?? {};
  const whole = {
    metadata: { name: "odd", namespace: "default", uid: "uid-odd", ...(metadata as object) },
    spec: { containers: [main] },
    ...rest,
  };
  return JSON.parse(JSON.stringify(whole)) as Pod;
}

const good: Pod = {
  metadata: { name: "good", namespace: "default", uid: "uid-good" },
  spec: { containers: [main], volumes: [claim] },
};

async function world(stored: readonly Pod[]) {
  const dir = tempDir("edged");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  runtime.addImage("web:1");
  const edge = new EdgedHarness();
  edge.objects.set("default/configmap/m", { metadata: { name: "m" } });
  for (const pod of stored) edge.pods.set(String(pod.metadata.uid), pod);
  await edge.start(runtime, clock, { dataDir: dir.path });
  await clock.advance(0);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, [Symbol.asyncDispose]: dispose };
}

test.each(Object.keys(odd))("edged starts and runs other pods when a stored pod has %s", async (name) => {
  await using at = await world([oddPod(name), good]);
  const { edge, clock } = at;
  expect(edge.status("uid-good")?.phase).toBe("Running");
  await edge.configure("configmap", "m", { metadata: { name: "m" }, data: { a: "1" } });
  await edge.link(true);
  await clock.advance(1000);
  expect(edge.errors).toEqual([]);
  expect(edge.log.lines.filter((line) => line.includes("pod rejected"))).toHaveLength(1);
});

test.each(Object.keys(odd))(
  "edged refuses a pod from the cloud without harm when it has %s",
  async (name) => {
    await using at = await world([]);
    const { edge, clock } = at;
    await edge.apply(oddPod(name));
    await edge.apply(good);
    await clock.advance(0);
    expect(edge.errors).toEqual([]);
    expect(edge.status("uid-good")?.phase).toBe("Running");
  },
);

test("edged keeps a pod as it was when the cloud sends an update that cannot be read", async () => {
  await using at = await world([good]);
  const { edge, clock } = at;
  const broken = { ...good, spec: { containers: [null] } } as unknown as Pod;
  await edge.apply(broken);
  await clock.advance(5000);
  expect(edge.status("uid-good")?.phase).toBe("Running");
  expect(edge.log.lines.join("\n")).toContain("spec.containers[0]: expected no null");
});
