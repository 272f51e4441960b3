import { expect, test } from "bun:test";
import { join } from "node:path";
import { Bus } from "#shared/bus";
import { UnavailableError } from "#shared/errors";
import type { Pod } from "#shared/kube";
import type { ApiAnswer, EdgeCatalog, PodRequest, PodVerdict } from "#shared/topics";
import { newMessage, type NewMessage } from "#shared/wire";
import { startMetaManager } from "#edge/meta-manager";
import { podRequests } from "#edge/edge-hub/codec";
import { openStore } from "#edge/store";
import { ReceivedObjects } from "#internal/edge/meta-manager/received-objects.ts";
import { PodCheck } from "#internal/edge/meta-manager/pod-check.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { overTheWire } from "#internal/test/support/edge/over-the-wire.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const stamp = { id: () => crypto.randomUUID(), nowMs: () => 1 };
const web = { namespace: "default", name: "web", uid: "u1" };
const pod = (version: string, nodeName = "e1") => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "default", uid: "u1", resourceVersion: version },
  spec: { nodeName, containers: [] },
});
const failure = (reason: string, message: string) => ({
  Object: { metadata: { creationTimestamp: null } },
  Err: { ErrStatus: { status: "Failure", reason, message } },
});

/** Asks a cloud that gives the same answer to everything; undefined: it cannot be reached. */
function askCloud(
  cloud: { readonly answer: unknown },
  asked: NewMessage[] = [],
): (request: PodRequest) => Promise<ApiAnswer<Pod>> {
  return overTheWire(podRequests, (request) => {
    asked.push(request);
    if (cloud.answer === undefined) throw new UnavailableError("no-link", "no link");
    return newMessage(stamp, { ...request, operation: "response", content: cloud.answer });
  });
}

async function world(dir: string) {
  const store = openStore(join(dir, "edgecore.db"));
  const bus = new Bus<EdgeCatalog>({
    onFailure: (_topic, _module, error) => {
      throw error;
    },
  });
  const notified: string[] = [];
  const asked: NewMessage[] = [];
  const cloud: { answer: unknown } = { answer: undefined };
  const port = bus.port<"link.changed", "pod.confirm" | "object.deliver", "pod.changed", "cloud.pod">("test");
  port.on("pod.changed", ({ object }) => void notified.push(object?.metadata.resourceVersion ?? "removed"));
  port.answer("cloud.pod", askCloud(cloud, asked));
  const manager = await startMetaManager({
    node: "e1",
    port: bus.port("metamanager"),
    store,
    clock: new FakeClock(),
    log: silentLog(),
  });
  return {
    store,
    port,
    notified,
    asked,
    cloud,
    confirm: (): Promise<PodVerdict> => port.ask("pod.confirm", web),
    async [Symbol.asyncDispose]() {
      await manager[Symbol.asyncDispose]();
      store[Symbol.dispose]();
    },
  };
}

test.each<[string, unknown, PodVerdict]>([
  ["cannot be reached", undefined, "unknown"],
  ["has it", { Object: pod("7"), Err: null }, "here"],
  ["has none", failure("NotFound", 'pods "web" not found'), "gone"],
  [
    "has another of its name",
    failure("Conflict", "Precondition failed: UID in precondition: u1, UID in object meta: u2"),
    "gone",
  ],
  ["is behind a proxy without a route", failure("NotFound", "404 page not found"), "unknown"],
  [
    "has no such resource",
    failure("NotFound", "the server could not find the requested resource"),
    "unknown",
  ],
  ["has it on another node", failure("Forbidden", 'pods "web" is forbidden'), "unknown"],
  ["gives one of another node", { Object: pod("7", "e2"), Err: null }, "unknown"],
  ["cannot reach its API", failure("ServiceUnavailable", "no answer"), "unknown"],
  ["is asked by too many", failure("TooManyRequests", "later"), "unknown"],
  ["answers nonsense", { Err: {} }, "unknown"],
  ["answers nothing", { Object: null, Err: null }, "unknown"],
  ["answers a text", "OK", "unknown"],
])("metamanager judges a pod that is not stored when the cloud %s", async (_name, answer, verdict) => {
  using dir = tempDir();
  await using at = await world(dir.path);
  at.cloud.answer = answer;
  expect(await at.confirm()).toBe(verdict);
  expect(at.asked.map(({ operation, resource, content }) => [operation, resource, content])).toEqual([
    ["patch", "default/podpatch/web", JSON.stringify({ metadata: { uid: "u1" }, status: {} })],
  ]);
  expect(at.notified).toEqual(verdict === "here" ? ["7"] : []);
  expect(at.store.metas.find("default/pod/web") !== undefined).toBe(verdict === "here");
});

test("a pod that the cloud does not know stays while the cloud is held back", async () => {
  using dir = tempDir();
  await using at = await world(dir.path);
  at.cloud.answer = failure("NotFound", 'pods "web" not found');
  const met = { connected: true, reason: "test" };
  const database = { known: "a", found: "b", message: "" };
  await at.port.emit("link.changed", { ...met, database: { ...database, held: true } });
  expect(await at.confirm()).toBe("unknown");
  await at.port.emit("link.changed", { ...met, database: { ...database, held: false } });
  expect(await at.confirm()).toBe("gone");
});

test("a stored pod that cannot be read is replaced by the cloud's, and removed only when that has none", async () => {
  using dir = tempDir();
  using store = openStore(join(dir.path, "edgecore.db"));
  const notified: (string | undefined)[] = [];
  const cloud: { answer: unknown } = { answer: undefined };
  const log = silentLog();
  const check = new PodCheck({
    node: "e1",
    store,
    log,
    received: new ReceivedObjects(store, {
      notify: async ({ object }) => void notified.push(object?.metadata.resourceVersion),
      onStored: () => undefined,
      log,
    }),
    ask: askCloud(cloud),
    mayRemoveUnknown: () => true,
  });
  const row = (value: string) => store.metas.put({ key: "default/pod/web", type: "pod", value });
  const restored = async (answer: unknown): Promise<string | undefined> => {
    cloud.answer = answer;
    await check.restoreUnreadable();
    return store.metas.find("default/pod/web")?.value;
  };
  row("{broken");
  expect(await restored(undefined)).toBe("{broken");
  // A pod of the same name was created on another node: KubeEdge's cloudcore gives every node every pod.
  expect(await restored({ Object: pod("7", "e2"), Err: null })).toBe("{broken");
  expect(notified).toEqual([]);
  expect(JSON.parse((await restored({ Object: pod("7"), Err: null })) ?? "")).toEqual(pod("7"));
  expect(notified).toEqual(["7"]);
  row("{broken");
  expect(await restored(failure("NotFound", 'pods "web" not found'))).toBeUndefined();
});
