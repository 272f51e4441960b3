import { expect, test } from "bun:test";
import { join } from "node:path";
import { Bus } from "#shared/bus";
import type { PodStatus } from "#shared/kube";
import type { EdgeCatalog, ReceivedObject } from "#shared/topics";
import type { WireMessage } from "#shared/wire";
import { newMessage } from "#shared/wire";
import { objectRequests } from "#edge/edge-hub/codec";
import { startMetaManager } from "#edge/meta-manager";
import { openStore } from "#edge/store";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { objectFrom, overTheWire } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };

function podFrom(operation: string, version: string, uid = "u1", source = "edgecontroller"): ReceivedObject {
  return objectFrom({
    source,
    operation,
    resource: "default/pod/web",
    content: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", namespace: "default", uid, resourceVersion: version },
      spec: { containers: [] },
    },
  });
}

async function harness(dir: string) {
  const store = openStore(join(dir, "edgecore.db"));
  const bus = new Bus<EdgeCatalog>({
    onFailure: (_topic, _module, error) => {
      throw error;
    },
  });
  const seen: string[] = [];
  const port = bus.port<
    "pod.status" | "link.changed" | "event.recorded",
    "object.deliver" | "pod.list" | "object.get" | "pod.terminated",
    "pod.changed" | "config.changed",
    "cloud.object"
  >("test");
  port.on("pod.changed", ({ name, object }) => {
    const row = store.metas.find("default/pod/web");
    seen.push(`${name} ${object?.metadata.resourceVersion ?? "removed"} ${row ? "stored" : "no row"}`);
  });
  const requests: string[] = [];
  const onTheWay: ReceivedObject[] = [];
  const clock = new FakeClock();
  const answer = overTheWire(objectRequests, async (request) => {
    requests.push(`${request.operation} ${request.resource}`);
    for (const delivery of onTheWay) await port.ask("object.deliver", delivery);
    return newMessage(stamp, {
      ...request,
      content: {
        metadata: { name: "cm", namespace: "default", uid: "c1", resourceVersion: "5" },
        data: { k: "v" },
      },
    });
  });
  port.answer("cloud.object", answer);
  const manager = await startMetaManager({
    node: "e1",
    port: bus.port("metamanager"),
    store,
    clock,
    log: silentLog(),
  });
  return {
    store,
    port,
    seen,
    requests,
    onTheWay,
    clock,
    async [Symbol.asyncDispose]() {
      await manager[Symbol.asyncDispose]();
      store[Symbol.dispose]();
    },
  };
}

test("metamanager commits a pod before it notifies edged and acknowledges", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  const delivered = await Promise.all([
    h.port.ask("object.deliver", podFrom("insert", "5")),
    h.port.ask("object.deliver", podFrom("update", "7")),
    h.port.ask("object.deliver", podFrom("update", "6")),
  ]);
  expect(delivered).toEqual([{ ack: true }, { ack: true }, { ack: true }]);
  expect(h.seen).toEqual(["web 5 stored", "web 7 stored"]);
  const [pod] = await h.port.ask("pod.list", {});
  expect(pod?.metadata.resourceVersion).toBe("7");
});

test("metamanager keeps a re-created pod when the deletion of the old one arrives late", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  await h.port.ask("object.deliver", podFrom("insert", "9", "u2"));
  expect(await h.port.ask("object.deliver", podFrom("delete", "8", "u1"))).toEqual({ ack: true });
  expect(h.store.metas.find("default/pod/web")).toBeDefined();
  await h.port.ask("object.deliver", podFrom("delete", "10", "u2"));
  expect(h.seen).toEqual(["web 9 stored", "web removed no row"]);
});

test("metamanager stores an update of an unknown source and neither notifies edged nor acknowledges it", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  expect(await h.port.ask("object.deliver", podFrom("update", "5", "u1", "stranger"))).toEqual({
    ack: false,
  });
  expect({ seen: h.seen, stored: h.store.metas.find("default/pod/web") !== undefined }).toEqual({
    seen: [],
    stored: true,
  });
});

test("metamanager rejects a delivery when the disk fails, and takes it when the disk works again", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  const { transaction } = h.store;
  Object.assign(h.store, {
    transaction: () => {
      throw new Error("database or disk is full");
    },
  });
  const failed = await h.port
    .ask("object.deliver", podFrom("insert", "5"))
    .catch((error: unknown) => String(error));
  Object.assign(h.store, { transaction });
  expect(failed).toBe("Error: database or disk is full");
  expect(h.seen).toEqual([]);
  expect(await h.port.ask("object.deliver", podFrom("insert", "5"))).toEqual({ ack: true });
});

const running: PodStatus = {
  phase: "Running",
  podIPs: [{ ip: "10.0.0.2" }],
  hostIPs: [{ ip: "192.0.2.2" }],
  conditions: [
    { type: "Ready", status: "True" },
    { type: "Initialized", status: "False", reason: "ContainersNotInitialized" },
  ],
};

test("metamanager leaves one status row a pod in the outbox, and the deletion after it", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  await h.port.ask("object.deliver", podFrom("insert", "5"));
  const pod = { namespace: "default", name: "web", uid: "u1" };
  await h.port.emit("pod.status", { ...pod, status: { phase: "Pending" } });
  await h.port.emit("pod.status", { ...pod, status: running });
  await h.port.emit("pod.status", { ...pod, status: running });
  await h.port.ask("pod.terminated", pod);
  const rows = h.store.outbox.listAfter(0, 10).map(({ lane, message }) => {
    const { route, content } = JSON.parse(message) as WireMessage;
    return { lane, operation: route.operation, resource: route.resource, content };
  });
  expect(rows).toEqual([
    {
      lane: "podstatus",
      operation: "patch",
      resource: "default/podpatch/web",
      content: JSON.stringify({
        metadata: { uid: "u1" },
        status: {
          message: null,
          reason: null,
          podIP: null,
          podIPs: [{ $patch: "replace" }, { ip: "10.0.0.2" }],
          phase: "Running",
          hostIPs: [{ $patch: "replace" }, { ip: "192.0.2.2" }],
          conditions: [
            { message: null, reason: null, type: "Ready", status: "True" },
            { message: null, reason: "ContainersNotInitialized", type: "Initialized", status: "False" },
          ],
        },
      }),
    },
    {
      lane: "pod",
      operation: "delete",
      resource: "default/pod/web",
      content: { gracePeriodSeconds: 0, preconditions: { uid: "u1" } },
    },
  ]);
  expect(h.store.metas.find("default/pod/web")).toBeUndefined();
});

test("metamanager takes back what it reported of a resize that is over", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  await h.port.ask("object.deliver", podFrom("insert", "5"));
  const pod = { namespace: "default", name: "web", uid: "u1" };
  const resources = { requests: { cpu: "1" } };
  const containerStatuses = [
    { name: "c", ready: true, restartCount: 0, image: "web:1", imageID: "", resources },
  ];
  const conditions = [{ type: "PodResizeInProgress", status: "True" as const }];
  const patchOf = (): { readonly status: Readonly<Record<string, unknown>> } => {
    const [row] = h.store.outbox.listAfter(0, 10);
    const { content } = JSON.parse(row?.message ?? "") as WireMessage;
    return JSON.parse(String(content)) as ReturnType<typeof patchOf>;
  };
  await h.port.emit("pod.status", {
    ...pod,
    status: { conditions, resize: "InProgress", containerStatuses },
  });
  const during = patchOf().status;
  await h.port.emit("pod.status", { ...pod, status: { conditions: [], containerStatuses } });
  const after = patchOf().status;
  expect([during["resize"], during["conditions"]]).toEqual([
    "InProgress",
    [
      { message: null, reason: null, type: "PodResizeInProgress", status: "True" },
      { $patch: "delete", type: "PodResizePending" },
    ],
  ]);
  expect([after["resize"], after["conditions"]]).toEqual([
    null,
    [
      { $patch: "delete", type: "PodResizePending" },
      { $patch: "delete", type: "PodResizeInProgress" },
    ],
  ]);
});

test("metamanager asks the cloud for a ConfigMap once, when it is connected and has no row", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  const name = { type: "configmap", namespace: "default", name: "cm" };
  expect(await h.port.ask("object.get", name)).toBeUndefined();
  await h.port.emit("link.changed", { connected: true, reason: "test" });
  expect((await h.port.ask("object.get", name))?.["data"]).toEqual({ k: "v" });
  await h.port.ask("object.get", name);
  expect(h.requests).toEqual(["query default/configmap/cm"]);
});

test("metamanager keeps a newer ConfigMap that was pushed while it asked", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  await h.port.emit("link.changed", { connected: true, reason: "test" });
  const newer = {
    metadata: { name: "cm", namespace: "default", uid: "c1", resourceVersion: "6" },
    data: { k: "newer" },
  };
  h.onTheWay.push(objectFrom({ operation: "update", resource: "default/configmap/cm", content: newer }));
  const name = { type: "configmap", namespace: "default", name: "cm" };
  expect([await h.port.ask("object.get", name), await h.port.ask("object.get", name)]).toEqual([
    newer,
    newer,
  ]);
});

test("metamanager stores the last status and the events once a full disk has room again", async () => {
  using dir = tempDir();
  await using h = await harness(dir.path);
  await h.port.ask("object.deliver", podFrom("insert", "5"));
  const { transaction } = h.store;
  Object.assign(h.store, {
    transaction: () => {
      throw new Error("database or disk is full");
    },
  });
  const pod = { namespace: "default", name: "web", uid: "u1" };
  const event = { metadata: { name: "e", namespace: "default" }, involvedObject: {}, reason: "Started" };
  await h.port.emit("pod.status", { ...pod, status: { phase: "Pending" } });
  await h.port.emit("pod.status", { ...pod, status: { phase: "Running" } });
  await h.port.emit("event.recorded", { event: { ...event, message: "m", type: "Normal" } });
  await h.clock.advance(5000);
  const whileFull = h.store.outbox.size().entries;
  Object.assign(h.store, { transaction });
  await h.clock.advance(5000);
  const sent = h.store.outbox
    .listAfter(0, 10)
    .map(({ lane, message }) => [lane, message.includes("Running")]);
  expect({ whileFull, sent }).toEqual({
    whileFull: 0,
    sent: [
      ["podstatus", true],
      ["event", false],
    ],
  });
});
