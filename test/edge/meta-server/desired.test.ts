import { afterEach, beforeEach, expect, test } from "bun:test";
import type { KubeObject } from "#shared/kube";
import { startTestNode, WatchLines, type TestNode } from "./harness.ts";

const place = "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices/thermo-1";
const model: KubeObject = {
  metadata: { name: "thermostat", namespace: "default", uid: "m", resourceVersion: "1" },
  spec: {
    properties: [
      { name: "temperature", type: "FLOAT", accessMode: "ReadOnly" },
      { name: "target", type: "FLOAT", accessMode: "ReadWrite", maximum: "35" },
    ],
  },
};
const device: KubeObject = {
  metadata: { name: "thermo-1", namespace: "default", uid: "d", resourceVersion: "2", labels: { a: "b" } },
  spec: {
    deviceModelRef: { name: "thermostat" },
    nodeName: "edge-1",
    properties: [
      { name: "temperature" },
      { name: "target", desired: { value: "21", metadata: { unit: "C" } } },
    ],
  },
};

let node: TestNode;

beforeEach(async () => {
  node = await startTestNode(undefined, { openHttp: { address: "127.0.0.1", port: 0 } });
  await node.put("devicemodel", model);
  await node.put("device", device);
});
afterEach(() => node[Symbol.asyncDispose]());

async function send(
  body: unknown,
  { method = "PATCH", type = "application/merge-patch+json", path = place, token = node.operatorToken } = {},
): Promise<readonly [status: number, message: string]> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await node.get(path, token, { method, body: text, headers: { "content-type": type } });
  const { message = "" } = (await answer.json()) as { message?: string };
  return [answer.status, message];
}

const json = { type: "application/json-patch+json" };
const target = "/spec/properties/1/desired/value";
const set = (): unknown => node.desired.map(({ name, uid, values }) => [name, uid, [...values]]);

test.each([
  ["JSON patch", [{ op: "replace", path: target, value: "23" }], json, "23"],
  ["JSON patch that removes it", [{ op: "remove", path: "/spec/properties/1/desired" }], json, null],
  [
    "merge patch with kubectl's annotation",
    {
      metadata: { annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
      spec: {
        properties: [
          { name: "temperature" },
          { name: "target", desired: { value: "23", metadata: { unit: "C" } } },
        ],
      },
    },
    {},
    "23",
  ],
] as const)("a %s sets a desired value", async (_what, body, options, value) => {
  expect(await send(body, options)).toEqual([200, ""]);
  expect(set()).toEqual([["thermo-1", "d", [["target", value]]]]);
});

test("an update of the object as it was read sets a desired value, once", async () => {
  const read = await (await node.get(place)).text();
  const update = read.replace('"21"', '"22"');
  const put = { method: "PUT", type: "application/json" };
  expect(await send(update, put)).toEqual([200, ""]);
  await node.put("device", device);
  const [status, message] = await send(update, put);
  expect([status, message.includes("the object has been modified")]).toEqual([409, true]);
  expect(set()).toEqual([["thermo-1", "d", [["target", "22"]]]]);
});

test("an update that does not say which version it replaces is refused, as by the cloud", async () => {
  const read = JSON.parse(await (await node.get(place)).text()) as KubeObject;
  const { resourceVersion: _version, ...metadata } = read.metadata;
  const [status, message] = await send({ ...read, metadata }, { method: "PUT", type: "application/json" });
  expect([status, message.includes("must be specified for an update")]).toEqual([422, true]);
  expect(set()).toEqual([]);
});

test("a dry run and a patch that changes nothing set nothing", async () => {
  const patch = [{ op: "replace", path: target, value: "23" }];
  expect(await send(patch, { ...json, path: `${place}?dryRun=All` })).toEqual([200, ""]);
  expect(await send({}, {})).toEqual([200, ""]);
  expect(set()).toEqual([]);
});

const notHere = "use a token of the API";
test.each([
  ["a label", { metadata: { labels: { a: "c" } } }, {}, [403, "metadata.labels.a of devices"]],
  ["the node", { spec: { nodeName: "edge-2" } }, {}, [403, "spec.nodeName of devices"]],
  [
    "a property",
    [{ op: "add", path: "/spec/properties/-", value: { name: "x" } }],
    json,
    [403, "spec.properties"],
  ],
  [
    "the name of a property",
    [{ op: "replace", path: "/spec/properties/0/name", value: "x" }],
    json,
    [403, notHere],
  ],
  [
    "metadata of a value",
    [{ op: "replace", path: "/spec/properties/1/desired/metadata/unit", value: "F" }],
    json,
    [403, "desired.metadata"],
  ],
  [
    "what is read only",
    [{ op: "add", path: "/spec/properties/0/desired", value: { value: "1" } }],
    json,
    [422, "read only"],
  ],
  ["what is out of range", [{ op: "replace", path: target, value: "99" }], json, [422, "must be at most 35"]],
  [
    "a number instead of a text",
    [{ op: "replace", path: target, value: 23 }],
    json,
    [400, "expected a text"],
  ],
  ["no JSON", "{", {}, [400, "is not JSON"]],
  ["endless nesting", `{"a":${"[".repeat(90_000)}${"]".repeat(90_000)}}`, {}, [400, "nested too deep"]],
  ["a patch that does not apply", [{ op: "replace", path: "/x", value: 1 }], json, [422, "missing path"]],
  ["a patch with a prototype", '{"__proto__":{"a":1}}', {}, [403, "__proto__"]],
  ["server-side apply", {}, { type: "application/apply-patch+yaml" }, [415, "application/merge-patch+json"]],
  ["another dry run", {}, { path: `${place}?dryRun=Some` }, [400, "expected All"]],
  [
    "a Device that is not here",
    {},
    { path: place.replace("thermo-1", "other") },
    [404, "not found on this node"],
  ],
  ["another Device of the name", { metadata: { uid: "other" } }, {}, [409, "has been modified"]],
  ["the status", {}, { path: `${place}/status` }, [403, notHere]],
  ["a deletion", {}, { method: "DELETE" }, [403, notHere]],
  ["another kind", {}, { path: "/api/v1/namespaces/default/configmaps/x" }, [403, notHere]],
] as const)("a change of %s is refused and sets nothing", async (_what, body, options, [status, text]) => {
  const [given, message] = await send(body, options);
  expect([given, message.includes(text) || message]).toEqual([status, true]);
  expect(set()).toEqual([]);
});

test("a token that the node cannot verify changes nothing", async () => {
  expect((await send([], { ...json, token: "of-nobody" }))[0]).toBe(401);
});

test("a watch is sent a Device whose twins changed, and one that continues is sent what it missed", async () => {
  const path = "/apis/devices.kubeedge.io/v1beta1/devices?watch=true&resourceVersion=";
  const list = (await (await node.get(path.split("?")[0] ?? "")).json()) as KubeObject;
  const { resourceVersion: version } = list.metadata;
  const open = new WatchLines(await node.get(path + version));
  await node.touch("thermo-1");
  const seen = await open.next();
  const later = new WatchLines(await node.get(path + version));
  const missed = await later.next();
  for (const event of [seen, missed])
    expect([event?.type, event?.object.metadata.name]).toEqual(["MODIFIED", "thermo-1"]);
  expect(missed?.object.metadata.resourceVersion).toBe(seen?.object.metadata.resourceVersion);
  await open.close();
  await later.close();
});

const open = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${node.server.openHttpPort}${path}`, init);

test("the open port reads without a token, except Secrets, and sets desired values", async () => {
  await node.put("secret", { metadata: { name: "s", namespace: "default" }, data: { a: "Yg==" } });
  expect((await open(place)).status).toBe(200);
  for (const path of [
    "/api/v1/secrets",
    "/api/v1/namespaces/default/secrets/s",
    "/api/v1/secrets?watch=true",
  ])
    expect((await open(path)).status).toBe(403);
  const body = JSON.stringify([{ op: "replace", path: target, value: "24" }]);
  const headers = { "content-type": json.type };
  expect((await open(place, { method: "PATCH", body, headers })).status).toBe(200);
  expect((await open(place, { method: "DELETE" })).status).toBe(403);
  expect(set()).toEqual([["thermo-1", "d", [["target", "24"]]]]);
  expect((await node.get(place, "")).status).toBe(401);
  expect((await open(place, { headers: { authorization: "Bearer of-nobody" } })).status).toBe(401);
});

test.each([
  { Host: "evil.example" },
  { Host: "kubernetes.default.svc" },
  { Host: "localhost.evil.example" },
  { Origin: "http://evil.example" },
  { Origin: "null" },
  { "Sec-Fetch-Site": "cross-site" },
  { "Sec-Fetch-Site": "same-site" },
])("the open port refuses what a web page makes a browser send: %p", async (headers) => {
  expect((await open(place, { headers: headers as Record<string, string> })).status).toBe(403);
});
