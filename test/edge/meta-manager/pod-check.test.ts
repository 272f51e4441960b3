import { expect, test } from "bun:test";
import { join } from "node:path";
import { Bus } from "#shared/bus";
import { UnavailableError } from "#shared/errors";
import type { EdgeCatalog, PodVerdict } from "#shared/topics";
import { newMessage, type NewMessage } from "#shared/wire";
import { startMetaManager } from "#edge/meta-manager";
import { podRequests } from "#edge/edge-hub/codec";
import { openStore } from "#edge/store";
import { FakeClock } from "#internal/test/support/fake-clock.ts";
import { overTheWire } from "#internal/test/support/over-the-wire.ts";
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

async function world(dir: string) {
  const store = openStore(join(dir, "edgecore.db"));
  const bus = new Bus<EdgeCatalog>({
    onHearerError: (_topic, _module, error) => {
      throw error;
    },
  });
  const told: string[] = [];
  const asked: NewMessage[] = [];
  const cloud: { answer: unknown } = { answer: undefined };
  const port = bus.port<"link.changed", "pod.confirm" | "object.deliver", "pod.changed", "cloud.pod">("test");
  port.on("pod.changed", ({ object }) => void told.push(object?.metadata.resourceVersion ?? "removed"));
  const answer = overTheWire(podRequests, (request) => {
    asked.push(request);
    if (cloud.answer === undefined) throw new UnavailableError("no-link", "no link");
    return newMessage(stamp, { ...request, operation: "response", content: cloud.answer });
  });
  port.answer("cloud.pod", answer);
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
    told,
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
  ["stands behind a proxy without a route", failure("NotFound", "404 page not found"), "unknown"],
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
])("a pod that is not stored is confirmed when the cloud %s: %j gives %p", async (_name, answer, verdict) => {
  using dir = tempDir();
  await using at = await world(dir.path);
  at.cloud.answer = answer;
  expect(await at.confirm()).toBe(verdict);
  expect(at.asked.map(({ operation, resource, content }) => [operation, resource, content])).toEqual([
    ["patch", "default/podpatch/web", JSON.stringify({ metadata: { uid: "u1" }, status: {} })],
  ]);
  expect(at.told).toEqual(verdict === "here" ? ["7"] : []);
  expect(at.store.metas.find("default/pod/web") !== undefined).toBe(verdict === "here");
});

test("a pod the cloud does not know stays while the word of the cloud does not count", async () => {
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
  await using at = await world(dir.path);
  const row = (value: string) => at.store.metas.put({ key: "default/pod/web", type: "pod", value });
  const linkUp = async (): Promise<string | undefined> => {
    const before = at.asked.length;
    await at.port.emit("link.changed", { connected: true, reason: "test" });
    while (at.asked.length === before) await Bun.sleep(1);
    await Bun.sleep(5);
    return at.store.metas.find("default/pod/web")?.value;
  };
  row("{broken");
  expect(await linkUp()).toBe("{broken");
  // A pod of the same name was created on another node: KubeEdge's cloudcore tells every node about every pod.
  at.cloud.answer = { Object: pod("7", "e2"), Err: null };
  expect(await linkUp()).toBe("{broken");
  expect(at.told).toEqual([]);
  at.cloud.answer = { Object: pod("7"), Err: null };
  expect(JSON.parse((await linkUp()) ?? "")).toEqual(pod("7"));
  expect(at.told).toEqual(["7"]);
  row("{broken");
  at.cloud.answer = failure("NotFound", 'pods "web" not found');
  expect(await linkUp()).toBeUndefined();
});
