import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ExtraReply, ExtraRequest, ExtraResource } from "#cloud/kube-api/http";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const group = "x.example";
const whole = "/apis/x.example/v1/tides";
const one = "/apis/x.example/v1/namespaces/default/boats/sloop/log";
const dir = tempDir("extras");
let server: TestServer;
const high: ExtraReply = { ok: true, body: { high: 3 } };
let reply: ExtraReply = high;
const asked: Omit<ExtraRequest, "signal" | "query">[] = [];

const answer = ({ namespace, name }: ExtraRequest): Promise<ExtraReply> => {
  asked.push({ namespace, name });
  return Promise.resolve(reply);
};
const resources: readonly ExtraResource[] = [
  { group, version: "v1", resource: "tides", subresource: "", namespaced: false, verb: "list", answer },
  { group, version: "v1", resource: "boats", subresource: "log", namespaced: true, verb: "get", answer },
];

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

test("an extra resource is answered while it is registered", async () => {
  expect((await server.call("GET", whole)).status).toBe(404);
  asked.length = 0;
  {
    using _served = server.api.serve(resources);
    expect(await server.call("GET", whole)).toMatchObject({ status: 200, body: { high: 3 } });
    expect((await server.call("GET", `${one}?x=1`)).status).toBe(200);
    expect(asked).toEqual([
      { namespace: "", name: "" },
      { namespace: "default", name: "sloop" },
    ]);
  }
  expect((await server.call("GET", whole)).status).toBe(404);
});

test("a refusal of an extra resource is a Status without Retry-After", async () => {
  using _served = server.api.serve(resources);
  reply = { ok: false, code: 504, text: "no answer" };
  const { status, headers, body } = await server.call("GET", whole);
  reply = high;
  expect([status, headers.get("retry-after"), body as unknown]).toEqual([
    504,
    null,
    {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "no answer",
      reason: "Timeout",
      details: {},
      code: 504,
    },
  ]);
});

test.each([
  ["POST", whole, 405],
  ["GET", `${whole}?watch=true`, 405],
  ["GET", "/apis/x.example/v1/boats/sloop/log", 404],
  ["GET", "/apis/x.example/v1/namespaces/default/tides", 404],
])("%s %s is refused", async (method, path, status) => {
  using _served = server.api.serve(resources);
  expect((await server.call(method, path, method === "POST" ? {} : undefined)).status).toBe(status);
});

test("RBAC decides on an extra resource before it is called", async () => {
  using _served = server.api.serve(resources);
  const accounts = "/api/v1/namespaces/default/serviceaccounts";
  await server.call("POST", accounts, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "mate" },
  });
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const { body } = await server.call("POST", `${accounts}/mate/token`, request);
  const asMate = { authorization: `Bearer ${textAt(body, "status", "token")}` };
  const before = asked.length;
  expect(await server.call("GET", one, undefined, asMate)).toMatchObject({
    status: 403,
    body: {
      reason: "Forbidden",
      message:
        'boats.x.example "sloop" is forbidden: User "system:serviceaccount:default:mate" cannot get resource "boats/log" in API group "x.example" in the namespace "default"',
    },
  });
  expect((await server.call("GET", whole, undefined, asMate)).status).toBe(403);
  expect(asked.length).toBe(before);
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const rules = [
    { apiGroups: [group], resources: ["boats/log"], verbs: ["get"] },
    { apiGroups: [group], resources: ["tides"], verbs: ["list"] },
  ];
  await server.call("POST", `${rbac}/roles`, { apiVersion, kind: "Role", metadata: { name: "mate" }, rules });
  await server.call("POST", `${rbac}/rolebindings`, {
    apiVersion,
    kind: "RoleBinding",
    metadata: { name: "mate" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "mate" },
    subjects: [{ kind: "ServiceAccount", name: "mate", namespace: "default" }],
  });
  expect((await server.call("GET", one, undefined, asMate)).status).toBe(200);
  // A role in one namespace gives no right to what is of the whole cluster, by no path.
  expect((await server.call("GET", whole, undefined, asMate)).status).toBe(403);
  const inside = "/apis/x.example/v1/namespaces/default/tides";
  expect((await server.call("GET", inside, undefined, asMate)).status).toBe(404);
});
