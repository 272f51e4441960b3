import { afterEach, beforeEach, expect, test } from "bun:test";
import { ApiProxy } from "#cloud/edge-controller/api-proxy";
import { createPassage, type Passage } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import { eventually } from "#internal/scripts/service.ts";
import {
  adminToken,
  startTestServer,
  textAt,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import { configMap, podObject, startTestNode, WatchLines, type TestNode } from "./harness.ts";

let owned: AsyncDisposableStack;
let api: TestServer;
let proxy: ApiProxy;
let ends: Linked;
let node: TestNode;
let isReachable = true;

const maps = "/api/v1/namespaces/default/configmaps";
const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

async function makeAccount(): Promise<void> {
  const metadata = { name: "reader" };
  await api.call("POST", "/api/v1/namespaces/default/serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata,
  });
  await api.call("POST", `${rbac}/roles`, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "Role",
    metadata,
    rules: [{ apiGroups: [""], resources: ["configmaps"], verbs: ["list", "watch"] }],
  });
  await api.call("POST", `${rbac}/rolebindings`, {
    apiVersion: "rbac.authorization.k8s.io/v1",
    kind: "RoleBinding",
    metadata,
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
    subjects: [{ kind: "ServiceAccount", name: "reader", namespace: "default" }],
  });
}

/** A token that is bound to nothing, as `kubectl create token` gives it. */
async function askToken(): Promise<string> {
  const path = "/api/v1/namespaces/default/serviceaccounts/reader/token";
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  return textAt((await api.call("POST", path, request)).body, "status", "token");
}

beforeEach(async () => {
  isReachable = true;
  await using stack = new AsyncDisposableStack();
  api = stack.use(await startTestServer(stack.use(tempDir("node-api-cloud")).path));
  await makeAccount();
  await api.call("POST", maps, { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "cloud" } });
  const access = { from: "inline", server: "http://localhost", socket: api.api.socket } as const;
  const unreachable = { from: "inline", server: "https://127.0.0.1:1" } as const;
  const [near, far] = [
    await createPassage(access, systemClock),
    await createPassage(unreachable, systemClock),
  ];
  const passage: Passage = {
    send: (path, init) => (isReachable ? near : far).send(path, init),
    readAsSelf: (path, init) => (isReachable ? near : far).readAsSelf(path, init),
  };
  proxy = new ApiProxy({ passage, clock: systemClock, log: silentLog() });
  ends = stack.use(await link());
  node = stack.use(
    await startTestNode({
      open: async (head) => {
        const stream = ends.node.open(head);
        void ends.atCloud().then((taken) => proxy.serve("edge-1", taken));
        return stream;
      },
      token: async () => ({ token: await askToken() }),
    }),
  );
  await node.put("configmap", configMap("node"));
  await node.put("pod", podObject("web"));
  await node.link(true);
  owned = stack.move();
});
afterEach(() => owned.disposeAsync());

test("a token of the API has its rights there, and the answer names the cloud", async () => {
  const answer = await node.get(maps, adminToken);
  const { items } = (await answer.json()) as { items: { metadata: { name: string } }[] };
  expect(answer.headers.get("kubeedge-source")).toBe("cloud");
  expect(items.map(({ metadata }) => metadata.name)).toContain("cloud");
  const made = await node.get(maps, adminToken, {
    method: "POST",
    body: JSON.stringify({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "made" } }),
    headers: { "content-type": "application/json" },
  });
  expect(made.status).toBe(201);
});

test("a token of nobody is refused by the API, and one of the node never gets there", async () => {
  expect((await node.get(maps, "of-nobody")).status).toBe(401);
  const answer = await node.get(maps);
  expect(answer.headers.get("kubeedge-source")).toBe("node");
});

test("a watch of a client that leaves ends in the cloud", async () => {
  const client = new AbortController();
  const watch = await node.get(`${maps}?watch=true`, adminToken, { signal: client.signal });
  expect(watch.status).toBe(200);
  // What the node asks for itself may be open as well.
  expect(proxy.openOf("edge-1")).toBeGreaterThanOrEqual(1);
  client.abort();
  await watch.body?.cancel().catch(() => undefined);
  await eventually(5000, async () => expect(proxy.openOf("edge-1")).toBe(0));
});

test("what an account may do is asked for with its own token, for the time without a link", async () => {
  const token = await askToken();
  await eventually(10_000, async () => expect(node.store.metas.listByType("accountrules")).toHaveLength(1));
  await node.link(false);
  const names = async (): Promise<unknown> => (await node.get(maps, token)).json();
  expect(await names()).toMatchObject({ items: [{ metadata: { name: "node" } }] });
  expect((await node.get(`${maps}/node`, token)).status).toBe(403);
  expect((await node.get("/api/v1/namespaces/default/secrets", token)).status).toBe(403);
  expect((await node.get("/api/v1/configmaps", token)).status).toBe(403);
  await node.link(true);
});

test("the node answers reads when the cloud cannot reach its API, and refuses changes", async () => {
  const token = await askToken();
  await eventually(10_000, async () => expect(node.store.metas.listByType("accountrules")).toHaveLength(1));
  isReachable = false;
  const answer = await node.get(maps, token);
  expect([answer.status, answer.headers.get("kubeedge-source")]).toEqual([200, "node"]);
  const change = await node.get(maps, token, { method: "POST", body: "{}" });
  expect([change.status, await change.text()]).toEqual([503, expect.stringContaining("cannot be reached")]);
  isReachable = true;
});

test("a watch ends, and does not fail, when the link is cut", async () => {
  const watch = new WatchLines(await node.get(`${maps}?watch=true`, adminToken));
  expect((await watch.next())?.type).toBe("ADDED");
  ends.cut();
  let event = await watch.next();
  while (event) event = await watch.next();
  expect(event).toBeUndefined();
});
