import { afterEach, beforeEach, expect, test } from "bun:test";
import type { KubeObject } from "#shared/kube";
import { configMap, podObject, startTestNode, WatchLines, type TestNode } from "./harness.ts";

let node: TestNode;
beforeEach(async () => {
  node = await startTestNode();
  await node.put("configmap", configMap("a", { app: "x" }));
  await node.put("configmap", configMap("b"));
  await node.put("pod", podObject("web"));
});
afterEach(() => node[Symbol.asyncDispose]());

const maps = "/api/v1/namespaces/default/configmaps";
interface List {
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string };
  readonly items: KubeObject[];
}
const list = async (path: string): Promise<List> => (await (await node.get(path)).json()) as List;
const namesOf = ({ items }: List): (string | undefined)[] => items.map(({ metadata }) => metadata.name);
const reasonOf = async (response: Response): Promise<string> =>
  ((await response.json()) as { reason: string }).reason;

test("a list has the objects of the node, with versions of the node", async () => {
  const answer = await node.get(maps);
  expect([answer.status, answer.headers.get("kubeedge-source")]).toEqual([200, "node"]);
  const { kind, metadata, items } = (await answer.json()) as List;
  expect([kind, items.length]).toEqual(["ConfigMapList", 2]);
  for (const version of [metadata.resourceVersion, items[0]?.metadata.resourceVersion])
    expect(version).toMatch(/^8\d{18}$/);
});

test.each([
  ["labelSelector=app%3Dx", ["a"]],
  ["labelSelector=!app", ["b"]],
  ["fieldSelector=metadata.name%3Db", ["b"]],
  ["fieldSelector=metadata.name!%3Db", ["a"]],
  ["limit=1", ["a", "b"]],
])("a list with %s has %p", async (query, names) => {
  expect(namesOf(await list(`${maps}?${query}`))).toEqual(names);
});

test.each([
  ["labelSelector=%3D%3D", 400, "BadRequest"],
  ["fieldSelector=data.filler%3Dx", 400, "BadRequest"],
  ["resourceVersion=12345", 410, "Expired"],
  ["continue=of-the-cloud", 410, "Expired"],
  ["watch=true&resourceVersion=12345", 410, "Expired"],
  ["watch=true&resourceVersion=8000000010000000001", 410, "Expired"],
])("a request with %s gets %p", async (query, status, reason) => {
  const answer = await node.get(`${maps}?${query}`);
  expect([answer.status, await reasonOf(answer)]).toEqual([status, reason]);
});

test("a Table has the columns of kubectl", async () => {
  const headers = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
  const answer = await node.get("/api/v1/pods", undefined, { headers });
  const table = (await answer.json()) as { kind: string; rows: { cells: unknown[] }[] };
  expect([table.kind, table.rows[0]?.cells.slice(0, 4)]).toEqual(["Table", ["web", "0/1", "Pending", "0"]]);
});

test("a pod has the status that the node reported last", async () => {
  const patch = {
    metadata: { uid: "uid-of-web" },
    status: {
      phase: "Running",
      message: null,
      podIPs: [{ $patch: "replace" }, { ip: "172.17.0.9" }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
  node.store.metas.put({ key: "default/podpatch/web", type: "podpatch", value: JSON.stringify(patch) });
  const answer = await node.get("/api/v1/namespaces/default/pods/web");
  expect(((await answer.json()) as KubeObject)["status"]).toEqual({
    phase: "Running",
    podIPs: [{ ip: "172.17.0.9" }],
    conditions: [{ type: "Ready", status: "True" }],
  });
});

test("a watch from a list misses nothing, and learns of what is no longer selected", async () => {
  const { metadata } = await list(`${maps}?labelSelector=w`);
  await node.put("configmap", configMap("w1", { w: "1" }));
  const query = `watch=true&labelSelector=w&resourceVersion=${metadata.resourceVersion}`;
  const watch = new WatchLines(await node.get(`${maps}?${query}`));
  const next = async () => {
    const event = await watch.next();
    return [event?.type, event?.object.metadata.name];
  };
  expect(await next()).toEqual(["ADDED", "w1"]);
  await node.put("configmap", configMap("w1", { w: "2" }));
  expect(await next()).toEqual(["MODIFIED", "w1"]);
  await node.put("configmap", configMap("w1", {}));
  expect(await next()).toEqual(["DELETED", "w1"]);
  await node.put("configmap", configMap("w2", { w: "1" }));
  await node.remove("configmap", configMap("w2", { w: "1" }));
  expect([await next(), await next()]).toEqual([
    ["ADDED", "w2"],
    ["DELETED", "w2"],
  ]);
  await node.remove("configmap", configMap("w1"));
  await watch.close();
});

test("a watch that asks for the initial objects gets them, and a bookmark after them", async () => {
  const query =
    "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const watch = new WatchLines(await node.get(`${maps}?${query}`));
  const events = [await watch.next(), await watch.next(), await watch.next()];
  expect(events.map((event) => event?.type)).toEqual(["ADDED", "ADDED", "BOOKMARK"]);
  expect(events[2]?.object.metadata.annotations).toEqual({ "k8s.io/initial-events-end": "true" });
  await watch.close();
});

test("a watch ends when its time is over", async () => {
  const watch = new WatchLines(
    await node.get(`${maps}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dz`),
  );
  expect(await watch.next()).toBeUndefined();
});

test("the operator's watch lasts while the link comes and goes", async () => {
  const watch = new WatchLines(await node.get(`${maps}?watch=true&fieldSelector=metadata.name%3Dlasting`));
  await node.link(true);
  await node.link(false);
  await node.put("configmap", configMap("lasting"));
  expect((await watch.next())?.type).toBe("ADDED");
  await watch.close();
});

test.each([
  ["/apis/apps/v1/deployments", 503],
  ["/api/v1/namespaces/default/pods/none", 404],
  ["/api/v1/namespaces/default/configmaps/..%2fsecrets", 404],
  ["/api/v1/namespaces/default%2f..%2fx/configmaps", 404],
  ["/api/v1//configmaps", 404],
  ["/metrics", 404],
  ["/api/v1/namespaces/%00/configmaps/a", 404],
])("%s answers %p", async (path, status) => {
  expect((await node.get(path)).status).toBe(status);
});

test("protobuf alone is not acceptable", async () => {
  const headers = { accept: "application/vnd.kubernetes.protobuf" };
  expect((await node.get(maps, undefined, { headers })).status).toBe(406);
});

test("the operator's token changes nothing", async () => {
  const answer = await node.get(`${maps}/a`, undefined, { method: "DELETE" });
  expect([answer.status, await reasonOf(answer)]).toEqual([403, "Forbidden"]);
});

test("a watch that is read too slowly expires", async () => {
  const watch = await node.get(`${maps}?watch=true&labelSelector=huge`);
  const filler = "x".repeat(500_000);
  for (let turn = 0; turn < 30; turn += 1)
    await node.put("configmap", configMap("huge", { huge: "" }, filler));
  const lines = new WatchLines(watch);
  let last: { readonly type: string } | undefined;
  for (let event = await lines.next(); event; event = await lines.next()) last = event;
  expect(last?.type).toBe("ERROR");
  await node.remove("configmap", configMap("huge"));
});
