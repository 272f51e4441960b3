import { afterAll, beforeAll, expect, test } from "bun:test";
import { podWorld, type PodWorld } from "./pod-world.ts";

let world: PodWorld;
beforeAll(async () => {
  world = await podWorld();
});
afterAll(() => world[Symbol.asyncDispose]());

async function refusalOf(path: string, method = "GET"): Promise<string> {
  const { status, body } = await world.server.call(method, `/api/v1/namespaces/default/pods/${path}`);
  return `${status} ${body["message"] as unknown as string}`;
}

test.each([
  ["nobody/log", '404 pods "nobody" not found'],
  ["two/log", "400 a container name must be specified for pod two, choose one of: [prepare a b]"],
  ["two/log?container=c", "400 container c is not valid for pod two"],
  [
    "one/log?tailLines=-1",
    '422 PodLogOptions "one" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0',
  ],
  [
    "one/log?limitBytes=0",
    '422 PodLogOptions "one" is invalid: limitBytes: Invalid value: 0: must be greater than 0',
  ],
  ["one/log?tailLines=many", '400 strconv.ParseInt: parsing "many": invalid syntax'],
  ["away/log", '503 Node "edge-2" is not connected'],
  ["nobody/exec?command=ls&stdout=1", '404 pods "nobody" not found'],
  [
    "two/exec?command=ls&stdout=1",
    "400 a container name must be specified for pod two, choose one of: [prepare a b]",
  ],
  ["waiting/exec?command=ls&stdout=1", "400 pod waiting does not have a host assigned"],
  ["one/exec?command=ls&stdout=1", "400 Upgrade request required"],
  ["one/attach?stdout=1", "400 Upgrade request required"],
  ["waiting/portforward", "400 pod waiting does not have a host assigned"],
  ["one/portforward", "400 Upgrade request required"],
])("a request for %s is refused", async (path, refusal) => {
  expect(await refusalOf(path)).toBe(refusal);
});

test("a pod that is not scheduled has an empty log", async () => {
  const answer = await world.server.stream("/api/v1/namespaces/default/pods/waiting/log");
  expect([answer.status, await answer.text()]).toEqual([200, ""]);
});

test.each([
  ["POST", "one/log"],
  ["DELETE", "one/exec"],
  ["PUT", "one/portforward"],
])("the method %s is refused for %s", async (method, path) => {
  expect(await refusalOf(path, method)).toBe(
    "405 the server does not allow this method on the requested resource",
  );
});

test.each([
  ["one/exec?stdout=1", ["v5.channel.k8s.io"], 400],
  ["one/exec?command=ls", ["v5.channel.k8s.io"], 400],
  ["one/exec?command=ls&stdout=1", ["v9.channel.k8s.io"], 403],
  ["one/portforward?ports=0", ["v4.channel.k8s.io"], 400],
  ["away/attach?stdout=1", ["v5.channel.k8s.io"], 503],
])("a WebSocket for %s with %p is refused with %i", async (path, protocols, code) => {
  await using socket = world.socket(path, protocols);
  expect(await socket.next()).toContain(String(code));
});

test("a request without a valid token gets no WebSocket", async () => {
  await using socket = world.socket("one/exec?command=ls&stdout=1", ["v5.channel.k8s.io"], {
    authorization: "Bearer nobody",
  });
  expect(await socket.next()).toContain("401");
  expect(world.asked.filter(({ kind }) => kind === "exec")).toEqual([]);
});

test("a user who may not create pods/exec gets no WebSocket, also where the user may read pods", async () => {
  const { call } = world.server;
  await call("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "viewer" } });
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const rules = [{ apiGroups: [""], resources: ["pods", "pods/log"], verbs: ["get"] }];
  await call("POST", `${rbac}/roles`, { metadata: { name: "viewer" }, rules });
  await call("POST", `${rbac}/rolebindings`, {
    metadata: { name: "viewer" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "viewer" },
    subjects: [{ kind: "ServiceAccount", name: "viewer", namespace: "default" }],
  });
  const headers = { "impersonate-user": "system:serviceaccount:default:viewer" };
  await using socket = world.socket("one/exec?command=ls&stdout=1", ["v5.channel.k8s.io"], headers);
  expect(await socket.next()).toContain("403");
  const log = await call("GET", "/api/v1/namespaces/default/pods/one/log", undefined, headers);
  expect(log.status).toBe(200);
});
