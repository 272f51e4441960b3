import { expect, test } from "bun:test";
import { resources } from "#cloud/kube-client";
import { startSyncController } from "#cloud/sync-controller";
import { Bus, type Port } from "#shared/bus";
import { UnavailableError } from "#shared/errors";
import type { CloudCatalog, DeliveredObject } from "#shared/topics";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

type Hub = Port<
  CloudCatalog,
  "object.acked" | "node.connected" | "node.disconnected",
  "object.sending" | "object.delivered",
  "node.resync",
  never
>;

interface Cloud extends AsyncDisposable {
  readonly kube: FakeKubeClient;
  readonly clock: FakeClock;
  readonly hub: Hub;
  readonly resynced: string[];
}

async function startCloud(prepare?: (kube: FakeKubeClient) => void): Promise<Cloud> {
  const clock = new FakeClock();
  const kube = new FakeKubeClient({ clock });
  kube.put(resources.nodes, { metadata: { name: "edge.one" } });
  prepare?.(kube);
  const bus = new Bus<CloudCatalog>({
    onFailure: (_topic, _module, error) => {
      throw error;
    },
  });
  const hub: Hub = bus.port("cloudhub");
  const resynced: string[] = [];
  hub.on("node.resync", ({ node }) => void resynced.push(node));
  const port = bus.port<
    "node.resync",
    never,
    "object.acked" | "node.connected" | "node.disconnected",
    "object.sending" | "object.delivered"
  >("synccontroller");
  const controller = await startSyncController({ port, kube, clock, log: silentLog() });
  await clock.advance(1);
  return {
    kube,
    clock,
    hub,
    resynced,
    [Symbol.asyncDispose]: async () => {
      await clock.until(Promise.resolve(controller[Symbol.asyncDispose]()));
      bus[Symbol.dispose]();
    },
  };
}

const pod: DeliveredObject = {
  apiVersion: "v1",
  kind: "Pod",
  namespace: "default",
  name: "web",
  uid: "u-1",
  resourceVersion: "7",
};

const node = "edge.one";
const key = "default/edge.one.u-1";

test("sync controller records an object before it is acknowledged, and the version after", async () => {
  await using cloud = await startCloud();
  expect(await cloud.hub.ask("object.sending", { node, object: pod })).toBe("0");
  await cloud.clock.advance(1);
  expect(cloud.kube.peek(resources.objectSyncs, key)).toMatchObject({
    kind: "ObjectSync",
    spec: { objectAPIVersion: "v1", objectKind: "Pod", objectName: "web" },
    status: { objectResourceVersion: "0" },
  });

  await cloud.hub.emit("object.acked", { ...pod, node, deleted: false });
  await cloud.clock.advance(1);
  expect(cloud.kube.peek(resources.objectSyncs, key)?.["status"]).toEqual({ objectResourceVersion: "7" });
  expect(await cloud.hub.ask("object.sending", { node, object: pod })).toBe("7");
  await cloud.hub.emit("object.acked", { ...pod, resourceVersion: "7", digest: "d7", node, deleted: false });
  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([{ ...pod, digest: "d7" }]);
  await cloud.hub.emit("object.acked", { ...pod, resourceVersion: "7", node, deleted: false });
  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([pod]);
});

test("sync controller forgets an object whose deletion was acknowledged", async () => {
  await using cloud = await startCloud();
  await cloud.hub.emit("object.acked", { ...pod, node, deleted: false });
  await cloud.clock.advance(1);
  await cloud.hub.emit("object.acked", { ...pod, node, deleted: true });
  await cloud.clock.advance(1);

  expect(cloud.kube.all(resources.objectSyncs)).toEqual([]);
  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([]);
});

test("sync controller uses a cluster object for what has no namespace", async () => {
  await using cloud = await startCloud();
  await cloud.hub.ask("object.sending", { node, object: { ...pod, kind: "Node", namespace: "" } });
  await cloud.clock.advance(1);

  expect(cloud.kube.all(resources.clusterObjectSyncs).map(({ metadata }) => metadata.name)).toEqual([
    "edge.one.u-1",
  ]);
});

test("sync controller knows after a restart what was recorded before, and drops what is of nodes that are gone", async () => {
  const sync = (name: string): object => ({
    metadata: { name, namespace: "default" },
    spec: { objectAPIVersion: "v1", objectKind: "Pod", objectName: "web" },
    status: { objectResourceVersion: "7" },
  });
  await using cloud = await startCloud((kube) => {
    kube.put(resources.objectSyncs, sync("edge.one.u-1") as { metadata: object });
    kube.put(resources.objectSyncs, sync("edge.gone.u-2") as { metadata: object });
  });

  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([pod]);
  expect(cloud.kube.all(resources.objectSyncs).map(({ metadata }) => metadata.name)).toEqual([
    "edge.one.u-1",
  ]);
});

test("sync controller writes only the last version after the API was unavailable", async () => {
  await using cloud = await startCloud();
  cloud.kube.fail(({ verb }) => verb === "create", new UnavailableError("away", "the API is away"), 3);
  for (const resourceVersion of ["7", "8", "9"])
    await cloud.hub.emit("object.acked", { ...pod, resourceVersion, node, deleted: false });
  await cloud.clock.advance(60_000);

  expect(cloud.kube.peek(resources.objectSyncs, key)?.["status"]).toEqual({ objectResourceVersion: "9" });
  expect(cloud.kube.calls.filter(({ verb }) => verb === "patch")).toHaveLength(1);
});

test("sync controller lets nothing be sent that it cannot record", async () => {
  await using cloud = await startCloud();
  const away = new UnavailableError("away", "the API is away");
  let isAway = true;
  cloud.kube.fail(({ verb }) => isAway && verb === "create", away, 1000);
  const early = await cloud.clock.until(
    cloud.hub.ask("object.sending", { node, object: pod }).catch((error: unknown) => error),
  );
  isAway = false;
  await cloud.clock.advance(60_000);
  const late = await cloud.hub.ask("object.sending", { node, object: pod });

  expect([early, late]).toEqual([
    new UnavailableError("timeout", 'Cannot record "edge.one.u-1": no answer within 5000 ms'),
    "0",
  ]);
  expect(cloud.kube.peek(resources.objectSyncs, key)).toBeDefined();
});

test("sync controller knows the digest of what was acknowledged after a restart", async () => {
  await using before = await startCloud();
  await before.hub.emit("object.acked", { ...pod, digest: "d7", node, deleted: false });
  await before.clock.advance(1);
  const stored = before.kube.all(resources.objectSyncs);
  await using after = await startCloud((kube) => {
    for (const sync of stored) kube.put(resources.objectSyncs, sync);
  });
  expect(await after.hub.ask("object.delivered", { node })).toEqual([{ ...pod, digest: "d7" }]);
  await after.hub.emit("object.acked", { ...pod, resourceVersion: "8", node, deleted: false });
  await after.clock.advance(1);
  expect(after.kube.peek(resources.objectSyncs, key)?.["status"]).toEqual({ objectResourceVersion: "8" });
});

test("sync controller drops the digest of what is to be deleted until the node acknowledges", async () => {
  await using cloud = await startCloud();
  await cloud.hub.emit("object.acked", { ...pod, digest: "d7", node, deleted: false });
  await cloud.clock.advance(1);
  await cloud.hub.ask("object.sending", { node, object: { ...pod, digest: "" } });
  await cloud.clock.advance(1);
  const status = (): unknown => cloud.kube.peek(resources.objectSyncs, key)?.["status"];
  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([{ ...pod, digest: "" }]);
  expect(status()).toEqual({ objectResourceVersion: "7", contentDigest: "" });

  const later = { ...pod, resourceVersion: "9", digest: "d7" };
  await cloud.hub.emit("object.acked", { ...later, node, deleted: false });
  await cloud.clock.advance(1);
  expect(await cloud.hub.ask("object.delivered", { node })).toEqual([later]);
  expect(status()).toEqual({ objectResourceVersion: "9", contentDigest: "d7" });
});

test("sync controller knows that a node with another database has nothing, also after a restart", async () => {
  await using before = await startCloud();
  await before.hub.emit("node.connected", { node, database: "disk-1" });
  await before.hub.emit("object.acked", { ...pod, digest: "d7", node, deleted: false });
  await before.clock.advance(1);
  const stored = before.kube.all(resources.objectSyncs);
  expect(stored[0]?.["status"]).toMatchObject({ objectResourceVersion: "7", nodeDatabase: "disk-1" });

  await using after = await startCloud((kube) => {
    for (const sync of stored) kube.put(resources.objectSyncs, sync);
  });
  const has = async (database: string | undefined): Promise<unknown[]> => {
    await after.hub.emit("node.connected", { node, database });
    const [delivered] = await after.hub.ask("object.delivered", { node });
    return [delivered?.resourceVersion, await after.hub.ask("object.sending", { node, object: pod })];
  };
  // One that does not say is believed to have what it acknowledged, as a node of KubeEdge.
  for (const same of ["disk-1", undefined]) expect(await has(same)).toEqual(["7", "7"]);
  expect(await has("disk-2")).toEqual(["0", "0"]);

  await after.hub.emit("object.acked", { ...pod, digest: "d7", node, deleted: false });
  await after.clock.advance(1);
  expect(await has("disk-2")).toEqual(["7", "7"]);
  expect(after.kube.peek(resources.objectSyncs, key)?.["status"]).toEqual({
    objectResourceVersion: "7",
    contentDigest: "d7",
    nodeDatabase: "disk-2",
  });
});

test("sync controller sends what it has from before nodes named their databases once more", async () => {
  await using cloud = await startCloud((kube) => {
    kube.put(resources.objectSyncs, {
      metadata: { name: "edge.one.u-1", namespace: "default" },
      spec: { objectAPIVersion: "v1", objectKind: "Pod", objectName: "web" },
      status: { objectResourceVersion: "7", contentDigest: "d7" },
    } as { metadata: object });
  });
  const versions = async (): Promise<unknown[]> =>
    (await cloud.hub.ask("object.delivered", { node })).map(({ resourceVersion }) => resourceVersion);
  await cloud.hub.emit("node.connected", { node, database: "disk-1" });
  expect(await versions()).toEqual(["0"]);
  await cloud.hub.emit("object.acked", { ...pod, digest: "d7", node, deleted: false });
  expect(await versions()).toEqual(["7"]);
});

test("sync controller has connected nodes compared about once a minute", async () => {
  await using cloud = await startCloud();
  await cloud.hub.emit("node.connected", { node });
  await cloud.hub.emit("node.connected", { node: "edge.two" });
  await cloud.hub.emit("node.disconnected", { node: "edge.two", reason: "test" });
  await cloud.clock.advance(80_000);

  expect(cloud.resynced).toEqual([node]);
});
