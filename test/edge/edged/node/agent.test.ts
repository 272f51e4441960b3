import { expect, test } from "bun:test";
import type { Node } from "#shared/kube";
import type { NewMessage } from "#shared/wire";
import { EdgedHarness } from "#internal/test/support/edge/edged-harness.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

interface World extends AsyncDisposable {
  readonly edge: EdgedHarness;
  readonly clock: FakeClock;
  readonly runtime: FakeRuntime;
}

async function world(): Promise<World> {
  const dir = tempDir("node");
  const clock = new FakeClock();
  const runtime = new FakeRuntime(clock);
  const edge = new EdgedHarness();
  edge.cloud = makeCloud();
  await edge.start(runtime, clock, { dataDir: dir.path, labels: { place: "roof" } });
  await clock.advance(0);
  const dispose = async (): Promise<void> => {
    await edge[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return { edge, clock, runtime, [Symbol.asyncDispose]: dispose };
}

/** A cloud that holds one Node and one Lease. */
function makeCloud(): (message: NewMessage) => unknown {
  const held = new Map<string, { metadata: Record<string, unknown> }>();
  const status = (reason: string) => ({
    Object: {},
    Err: { ErrStatus: { status: "Failure", reason, message: reason } },
  });
  let version = 1;
  const write = (key: string, content: unknown): unknown => {
    version += 1;
    const given = content as { metadata: Record<string, unknown> };
    held.set(key, { ...given, metadata: { ...given.metadata, resourceVersion: String(version) } });
    return { Object: held.get(key), Err: null };
  };
  return ({ operation, resource, content }) => {
    const key = resource.replace("nodepatch", "node");
    const object = held.get(key);
    if (operation === "insert") return object ? status("AlreadyExists") : write(key, content);
    if (!object) return status("NotFound");
    if (operation === "update") return write(key, content);
    return operation === "query" && key.includes("/node/") ? object : { Object: object, Err: null };
  };
}

const routes = (edge: EdgedHarness): string[] =>
  edge.requests.map(
    ({ source, group, operation, resource }) => `${source};${group};${operation};${resource}`,
  );

test("the node agent registers, reports and leases as KubeEdge does when the link comes", async () => {
  await using at = await world();
  const { edge, clock } = at;
  expect(edge.requests).toEqual([]);
  await edge.link(true);
  await clock.advance(0);
  expect(routes(edge)).toEqual([
    "edged;meta;insert;default/node/edge-1",
    "edged;meta;patch;default/nodepatch/edge-1",
    "edged;meta;query;kube-node-lease/lease/edge-1",
    "edged;meta;insert;kube-node-lease/lease/edge-1",
  ]);
  const node = edge.requests[0]?.content as Node;
  expect(node.metadata.labels).toMatchObject({
    "kubernetes.io/hostname": "edge-1",
    "kubernetes.io/os": "linux",
    "node-role.kubernetes.io/edge": "",
    "node-role.kubernetes.io/agent": "",
    place: "roof",
  });
  const patch = JSON.parse(String(edge.requests[1]?.content)) as Node;
  expect(patch.status?.conditions?.map((one) => `${one.type} ${one.status}`)).toContain("Ready True");
  expect(patch.status?.addresses).toEqual([
    { type: "InternalIP", address: "192.0.2.2" },
    { type: "Hostname", address: "edge-1" },
  ]);
  expect(patch.status?.nodeInfo?.["containerRuntimeVersion"]).toBe("fake://1");
});

test("the node agent renews its lease every ten seconds and puts its labels on a Node that is there already", async () => {
  await using at = await world();
  const { edge, clock } = at;
  await edge.link(true);
  await clock.advance(21_000);
  const renewals = routes(edge).filter((route) => route.includes(";update;kube-node-lease"));
  expect(renewals.length).toBe(2);
  edge.requests.length = 0;
  await edge.link(false);
  await edge.link(true);
  await clock.advance(0);
  expect(routes(edge).slice(0, 3)).toEqual([
    "edged;meta;insert;default/node/edge-1",
    "edged;meta;query;default/node/edge-1",
    "edged;meta;patch;default/nodepatch/edge-1",
  ]);
});

test("node agent reports at once that the engine cannot be reached and that it can be again", async () => {
  await using at = await world();
  const { edge, clock, runtime } = at;
  await edge.link(true);
  await clock.advance(0);
  const ready = (): string | undefined => {
    const patch = edge.requests.findLast((one) => one.operation === "patch");
    const { status } = JSON.parse(String(patch?.content)) as Node;
    const found = status?.conditions?.find((one) => one.type === "Ready");
    return `${found?.status} ${found?.reason}`;
  };
  const seen = [ready()];
  runtime.unreachable = true;
  await clock.advance(0);
  seen.push(ready());
  runtime.unreachable = false;
  await clock.advance(0);
  seen.push(ready());
  expect(seen).toEqual(["True EdgeReady", "False ContainerRuntimeDown", "True EdgeReady"]);
});

test("the node agent registers again when the Node was deleted in the cloud", async () => {
  await using at = await world();
  const { edge, clock } = at;
  await edge.link(true);
  await clock.advance(0);
  edge.cloud = makeCloud();
  await clock.advance(20_000);
  expect(routes(edge).filter((route) => route.includes(";insert;default/node/")).length).toBe(2);
});
