import { expect, test } from "bun:test";
import { responseTo } from "#shared/wire";
import {
  configOf,
  eventually,
  isKeepalive,
  stamp,
  startEdge,
} from "#internal/test/edge/edge-hub/hub-harness.ts";
import { ScriptedCloud } from "#internal/test/edge/edge-hub/scripted-cloud.ts";
import { startCutProxy } from "#internal/test/support/machine/cut-proxy.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Answers all updates; @returns their ids in order of arrival */
function answering(cloud: ScriptedCloud): string[] {
  const ids: string[] = [];
  cloud.onMessage = (message, socket) => {
    if (message.route.operation !== "update") return;
    ids.push(message.header.msg_id);
    socket.send(
      JSON.stringify(responseTo(stamp, message, "OK", { source: "devicecontroller", group: "twin" })),
    );
  };
  return ids;
}

test("edgehub sends the outbox in order and removes what was answered, over cuts and without losing any", async () => {
  await using cloud = await ScriptedCloud.start();
  await using proxy = await startCutProxy(cloud.port);
  using dir = tempDir();
  const ids = answering(cloud);
  await using edge = await startEdge(configOf(dir.path, proxy.port, cloud.token(), cloud.port));
  await cloud.until(() => cloud.received.some(isKeepalive));
  const put = edge.put("twin", 1000);
  for (const share of [200, 500, 800]) {
    await cloud.until(() => new Set(ids).size >= share);
    proxy.cut();
  }
  await eventually("an empty outbox", () => edge.store.outbox.size().entries === 0);
  expect([...new Set(ids)]).toEqual(put);
  // At most one window is unanswered when the link is cut.
  expect(ids.length - put.length).toBeLessThanOrEqual(3 * 64);
});

test("edgehub repeats unanswered messages with their ids from the same database after a restart", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  const config = configOf(dir.path, cloud.port, cloud.token());
  let put: string[] = [];
  {
    await using edge = await startEdge(config);
    put = edge.put("twin", 10);
    await cloud.until(() => cloud.received.length === 11);
  }
  const ids = answering(cloud);
  await using edge = await startEdge(config);
  await eventually("an empty outbox", () => edge.store.outbox.size().entries === 0);
  expect(ids).toEqual(put);
});

test("edgehub removes uploads once the peer has read them", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  edge.put("upload", 200);
  await eventually(
    "an empty outbox",
    () => edge.store.outbox.size().entries === 0 && cloud.received.length > 0,
  );
  expect(cloud.received.filter(({ route }) => route.operation === "update").length).toBe(200);
});

test("edgehub sends reports while the cloud answers no uploads, however many wait", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  cloud.answersAll = true;
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  edge.put("upload", 3000);
  await cloud.until(() => cloud.received.length > 2048);
  const [report = ""] = edge.put("twin", 1);
  await cloud.until(() => cloud.received.some(({ header }) => header.msg_id === report));
  expect(edge.store.outbox.size().entries).toBe(3001);
});

test("edgehub drops what the cloud refuses for good and keeps what it cannot take now", async () => {
  await using cloud = await ScriptedCloud.start();
  using dir = tempDir();
  await using edge = await startEdge(configOf(dir.path, cloud.port, cloud.token()));
  cloud.onMessage = (message, socket) => {
    const index = (message.content as { index?: number } | null)?.index;
    if (index === undefined) return;
    const Err = { ErrStatus: { code: index === 0 ? 404 : 503, message: "no" } };
    socket.send(JSON.stringify(responseTo(stamp, message, { Object: null, Err })));
  };
  const [, later] = edge.put("twin", 2);
  await eventually("one entry in the outbox", () => edge.store.outbox.size().entries === 1);
  expect(edge.store.outbox.listAfter(0, 1)[0]?.message).toContain(later ?? "");
});

test("edgehub drops a link that became silent and sends over a new one", async () => {
  await using cloud = await ScriptedCloud.start();
  await using proxy = await startCutProxy(cloud.port);
  using dir = tempDir();
  const ids = answering(cloud);
  await using edge = await startEdge(configOf(dir.path, proxy.port, cloud.token(), cloud.port));
  await cloud.until(() => cloud.received.some(isKeepalive));
  proxy.stall();
  const put = edge.put("twin", 3);
  await eventually("the silence in the log", () =>
    edge.log.lines.some((line) => line.includes("no byte from the cloud")),
  );
  proxy.restore();
  await eventually("an empty outbox", () => edge.store.outbox.size().entries === 0);
  // What was under way on the old one may arrive late as well.
  expect([...new Set(ids)]).toEqual(put);
}, 30_000);
