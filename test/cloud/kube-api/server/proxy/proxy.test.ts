import { afterAll, beforeAll, expect, test } from "bun:test";
import { podWorld, type PodWorld } from "#internal/test/cloud/kube-api/server/pod-streams/pod-world.ts";
import { adminToken } from "#internal/test/support/cloud/api-server.ts";
import { serveOver } from "#shared/streams";

const core = "/api/v1/namespaces/default";
const pages: Readonly<Record<string, () => Response>> = {
  "/page": () =>
    new Response('<html><a href="/next">a</a><a href="near">b</a><img src="//cdn/x"></html>', {
      headers: { "content-type": "text/html; charset=utf-8" },
    }),
  "/moved": () => new Response(null, { status: 302, headers: { location: "/there?x=1" } }),
  "/away": () => new Response(null, { status: 307, headers: { location: "https://example.org/" } }),
  "/empty": () => new Response(null, { status: 204 }),
};

/** A server in every pod that tells what it got. */
async function answer(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const page = pages[pathname];
  if (page) return page();
  const body = await request.text();
  return Response.json(
    { method: request.method, path: pathname + search, body, headers: Object.fromEntries(request.headers) },
    { status: 418, headers: { "x-own": "1" } },
  );
}

let world: PodWorld;
beforeAll(async () => {
  world = await podWorld((stream) => serveOver(stream, "http://pod", answer));
  const { call } = world.server;
  const ports = [
    { name: "web", port: 80, targetPort: 8080 },
    { name: "tls", port: 443, targetPort: 8443 },
  ];
  for (const name of ["shop", "nobody"])
    await call("POST", `${core}/services`, { metadata: { name }, spec: { ports } });
  await call("POST", `${core}/endpoints`, {
    metadata: { name: "shop" },
    subsets: [
      {
        addresses: [{ ip: "10.0.0.2", targetRef: { kind: "Pod", name: "one" } }, { ip: "192.0.2.1" }],
        ports: [
          { name: "web", port: 8080 },
          { name: "tls", port: 8443 },
        ],
      },
    ],
  });
});
afterAll(() => world[Symbol.asyncDispose]());

interface Asked {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

interface Init extends Omit<BunFetchRequestInit, "headers"> {
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(path: string, init: Init = {}): Promise<Asked> {
  const response = await fetch(`${world.server.api.url}${path}`, {
    redirect: "manual",
    ...init,
    headers: { authorization: `Bearer ${adminToken}`, ...init.headers },
    tls: { ca: world.server.caPem },
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const lastAsked = (): unknown => world.asked.at(-1);

test("a request reaches the server in the pod as it is, and its response comes back", async () => {
  const { status, headers, text } = await ask(`${core}/pods/one:8080/proxy/a%2Fb//c?q=1&q=2`, {
    method: "POST",
    body: "hello",
    headers: { "x-mine": "2", connection: "close" },
  });
  expect([status, headers.get("x-own")]).toEqual([418, "1"]);
  const got = JSON.parse(text) as Record<string, unknown>;
  expect(got).toMatchObject({ method: "POST", path: "/a%2Fb//c?q=1&q=2", body: "hello" });
  expect(got["headers"]).toMatchObject({ "x-mine": "2", "x-forwarded-proto": "https" });
  expect(lastAsked()).toMatchObject({ kind: "proxy", name: "one", scheme: "http", port: 8080 });
});

test("the credentials of the caller stay with the API", async () => {
  const { text } = await ask(`${core}/pods/one:8080/proxy/`, {
    headers: { "impersonate-user": "admin", "impersonate-group": "system:masters" },
  });
  const { headers } = JSON.parse(text) as { headers: object };
  expect(Object.keys(headers).filter((name) => /authorization|impersonate/.test(name))).toEqual([]);
});

test("any method reaches the server", async () => {
  for (const method of ["PUT", "PATCH", "DELETE", "OPTIONS"]) {
    const { text } = await ask(`${core}/pods/one:8080/proxy/`, { method });
    expect(JSON.parse(text)).toMatchObject({ method });
  }
});

test.each([
  ["pods/https:one:8443/proxy/", { name: "one", scheme: "https", port: 8443 }],
  ["pods/one/proxy/", { name: "one", scheme: "http", port: 80 }],
  ["services/shop:web/proxy/", { name: "one", scheme: "http", port: 8080 }],
  ["services/shop:80/proxy/", { name: "one", scheme: "http", port: 8080 }],
  ["services/https:shop:tls/proxy/", { name: "one", scheme: "https", port: 8443 }],
])("%s leads to a port of a pod", async (path, expected) => {
  expect((await ask(`${core}/${path}`)).status).toBe(418);
  expect(lastAsked()).toMatchObject(expected);
});

test("a path of the server in a page or a redirect leads through the proxy again", async () => {
  const prefix = `${core}/pods/one:8080/proxy`;
  const page = await ask(`${prefix}/page`);
  expect(page.text).toBe(
    `<html><a href="${prefix}/next">a</a><a href="near">b</a><img src="//cdn/x"></html>`,
  );
  expect((await ask(`${prefix}/moved`)).headers.get("location")).toBe(`${prefix}/there?x=1`);
  expect((await ask(`${prefix}/away`)).headers.get("location")).toBe("https://example.org/");
  expect((await ask(`${prefix}/empty`)).status).toBe(204);
});

test("a read of the proxy without a path is redirected to its root, and a write goes there", async () => {
  const path = `${core}/pods/one:8080/proxy`;
  const read = await ask(`${path}?a=1`);
  expect([read.status, read.headers.get("location")]).toEqual([301, `${path}/?a=1`]);
  const written = await ask(path, { method: "PUT" });
  expect(JSON.parse(written.text)).toMatchObject({ method: "PUT", path: "/" });
});

test.each([
  ["pods/none:80/proxy/", 404, 'pods "none" not found'],
  ["pods/waiting:80/proxy/", 400, "pod waiting does not have a host assigned"],
  ["pods/one:http/proxy/", 400, '"http" is not a port'],
  ["pods/one:70000/proxy/", 400, '"70000" is not a port'],
  ["pods/ftp:one:80/proxy/", 400, 'invalid pod request "ftp:one:80"'],
  ["pods/away:80/proxy/", 503, 'Node "edge-2" is not connected'],
  ["services/shop:81/proxy/", 503, 'no service port 81 found for service "shop"'],
  ["services/shop:other/proxy/", 503, 'no endpoints available for service "shop"'],
  ["services/nobody:web/proxy/", 503, 'no endpoints available for service "nobody"'],
  ["services/none:web/proxy/", 404, 'services "none" not found'],
  ["configmaps/x/proxy/", 404, "the server could not find the requested resource"],
])("%s is refused with %i", async (path, status, message) => {
  const { body, ...answered } = await world.server.call("GET", `${core}/${path}`);
  expect([answered.status, body["message"] as unknown]).toEqual([status, message]);
});

test("a user needs the right for pods/proxy with the verb of the method", async () => {
  const { call } = world.server;
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const rules = [{ apiGroups: [""], resources: ["pods", "pods/proxy"], verbs: ["get"] }];
  await call("POST", `${core}/serviceaccounts`, { metadata: { name: "reader" } });
  await call("POST", `${rbac}/roles`, { metadata: { name: "reader" }, rules });
  await call("POST", `${rbac}/rolebindings`, {
    metadata: { name: "reader" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "reader" },
    subjects: [{ kind: "ServiceAccount", name: "reader", namespace: "default" }],
  });
  const headers = { "impersonate-user": "system:serviceaccount:default:reader" };
  const statusOf = async (method: string, path: string): Promise<number> =>
    (await ask(`${core}/${path}`, { method, headers })).status;
  expect([
    await statusOf("GET", "pods/one:80/proxy/x"),
    await statusOf("POST", "pods/one:80/proxy/x"),
    await statusOf("GET", "services/shop:80/proxy/x"),
  ]).toEqual([418, 403, 403]);
});

test("the stream to the node ends with the client", async () => {
  const leaving = new AbortController();
  const path = `${core}/pods/one:8080/proxy/`;
  const asked = ask(path, { method: "POST", signal: leaving.signal, body: new ReadableStream({}) });
  const before = world.asked.length;
  while (world.asked.length === before) await new Promise((resolve) => setImmediate(resolve));
  leaving.abort();
  await expect(asked).rejects.toThrow();
  while (world.open.size > 0) await new Promise((resolve) => setImmediate(resolve));
});
