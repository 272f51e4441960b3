import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:tls";
import {
  adminToken,
  startTestServer,
  textAt,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const rbac = "/apis/rbac.authorization.k8s.io/v1";
const dir = tempDir();
let server: TestServer;
/** May read ConfigMaps of the namespace "mine" and the paths below /healthz, nothing else. */
let token: string;

beforeAll(async () => {
  server = await startTestServer(dir.path);
  const make = (path: string, object: object) => server.call("POST", path, object);
  await make("/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "mine" } });
  for (const namespace of ["mine", "default"])
    for (const [plural, kind] of [
      ["configmaps", "ConfigMap"],
      ["secrets", "Secret"],
    ])
      await make(`/api/v1/namespaces/${namespace}/${plural}`, {
        apiVersion: "v1",
        kind,
        metadata: { name: "one" },
      });
  await make("/api/v1/namespaces/mine/serviceaccounts", {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "reader" },
  });
  const base = { apiVersion: "rbac.authorization.k8s.io/v1" };
  const subjects = [{ kind: "ServiceAccount", name: "reader", namespace: "mine" }];
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", name: "reader" };
  const rule = { verbs: ["get", "list"], apiGroups: [""], resources: ["configmaps"] };
  const metadata = { name: "reader" };
  await make(`${rbac}/namespaces/mine/roles`, { ...base, kind: "Role", metadata, rules: [rule] });
  await make(`${rbac}/namespaces/mine/rolebindings`, {
    ...base,
    kind: "RoleBinding",
    metadata,
    subjects,
    roleRef: { ...roleRef, kind: "Role" },
  });
  const urls = { verbs: ["get"], nonResourceURLs: ["/healthz/*"] };
  await make(`${rbac}/clusterroles`, { ...base, kind: "ClusterRole", metadata, rules: [urls] });
  await make(`${rbac}/clusterrolebindings`, {
    ...base,
    kind: "ClusterRoleBinding",
    metadata,
    subjects,
    roleRef: { ...roleRef, kind: "ClusterRole" },
  });
  const asked = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  token = textAt(
    (await server.call("POST", "/api/v1/namespaces/mine/serviceaccounts/reader/token", asked)).body,
    "status",
    "token",
  );
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

/** A request as it is written, which `fetch` would tidy up; returns the status and the body. */
function raw(line: string, headers: readonly string[]): Promise<{ status: number; body: string }> {
  const done = Promise.withResolvers<{ status: number; body: string }>();
  const socket = connect({ host: "127.0.0.1", port: server.api.port, rejectUnauthorized: false });
  let text = "";
  socket.on("data", (data: Buffer) => (text += data.toString("latin1")));
  socket.on("close", () => {
    const [head = "", ...body] = text.split("\r\n\r\n");
    done.resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0), body: body.join("") });
  });
  socket.on("error", (error: Error) => done.reject(error));
  const host = headers.some((header) => /^host:/i.test(header)) ? [] : ["Host: localhost"];
  socket.write(`${[`${line} HTTP/1.1`, ...host, ...headers, "Connection: close"].join("\r\n")}\r\n\r\n`);
  return done.promise;
}

const tricks = [
  "/api/v1/namespaces/mine/../default/secrets/one",
  "/api/v1/namespaces/mine/configmaps/../secrets/one",
  "/api/v1/namespaces/mine/configmaps/%2e%2e/secrets/one",
  "/api/v1/namespaces/mine%2f..%2fdefault/configmaps/one",
  "/api/v1/namespaces/mine%2Fconfigmaps/one",
  "/api/v1/namespaces/mine/configmaps/..%2f..%2fdefault%2fconfigmaps%2fone",
  "/api/v1/namespaces/mine\\..\\default/secrets/one",
  "//api/v1/namespaces/default/secrets/one",
  "/api//v1/namespaces/default/secrets/one",
  "/api/v1/namespaces//default/secrets/one",
  "/api/v1/namespaces/default/secrets/one/",
  "/api/v1/namespaces/default/Secrets/one",
  "/API/v1/namespaces/default/secrets/one",
  "/api/v1/namespaces/DEFAULT/secrets/one",
  "/%61pi/v1/namespaces/default/secrets/one",
  "/api/v1/namespaces/default/secrets%00/one",
  "/api/v1/namespaces/default/secrets;a=b/one",
  "/api/v1/secrets/default%2Fone",
  "/api/v1/watch/namespaces/default/secrets/one",
  "/api/v1/proxy/namespaces/default/secrets/one",
  "/healthz/../api/v1/namespaces/default/secrets/one",
  "/healthz/%2e%2e/api/v1/namespaces/default/secrets/one",
  "/healthz/..%2fapi/v1/namespaces/default/secrets/one",
  "/healthz?/../../api/v1/namespaces/default/secrets/one",
  "http://localhost/api/v1/namespaces/default/secrets/one",
  "https://localhost/healthz/..//api/v1/namespaces/default/secrets/one",
  "/api/v1/namespaces/default/secrets/one?watch=true",
  "/api/v1/namespaces/default/secrets?watch=1&watch=0",
  "/api/v1/namespaces/mine/secrets/one",
  "/openapi/v3/../../healthz/x",
  "/healthz/x/../../metrics",
];

test.each(tricks)("API shows no user what it may not read when it asks for %s", async (path) => {
  for (const headers of [[`Authorization: Bearer ${token}`], []])
    for (const method of ["GET", "HEAD", "OPTIONS", "POST", "PATCH"]) {
      const { status, body } = await raw(`${method} ${path}`, headers);
      const shown = /"kind":"Secret(List)?"|"kty"|"data":/.test(body);
      expect({ method, shown, written: status === 201 }).toEqual({ method, shown: false, written: false });
    }
});

test("API shows the administrator the objects that the tricks aim at", async () => {
  const { body } = await raw("GET /api/v1/namespaces/default/secrets/one", [
    `Authorization: Bearer ${adminToken}`,
  ]);
  expect(body).toContain('"kind":"Secret"');
});

test("API authorizes by the path and not by Host or headers that name another path or method", async () => {
  const auth = `Authorization: Bearer ${token}`;
  const path = "/api/v1/namespaces/default/secrets/one";
  const answers = await Promise.all([
    raw(`GET ${path}`, [auth, "Host: localhost/healthz/x?"]),
    raw(`GET ${path}`, [auth, "Host: localhost/api/v1/namespaces/mine/configmaps/one#"]),
    raw(`GET ${path}`, [auth, "X-Original-URL: /healthz/x", "X-Rewrite-URL: /healthz/x"]),
    raw("GET /healthz/x", [auth, `X-Original-URL: ${path}`]),
    raw("GET /api/v1/namespaces/mine/configmaps/one", [auth, "X-HTTP-Method-Override: DELETE"]),
  ]);
  expect(answers.map(({ body }) => /"kind":"Secret"/.test(body))).toEqual([
    false,
    false,
    false,
    false,
    false,
  ]);
  expect(answers.slice(0, 2).map(({ status }) => status)).toEqual([400, 400]);
  expect((await server.call("GET", "/api/v1/namespaces/mine/configmaps/one")).status).toBe(200);
});

test("API shows unauthenticated clients that it is alive and its version, and nothing else", async () => {
  const open = ["/healthz", "/livez", "/readyz", "/version"];
  const closed = [
    "/",
    "/api",
    "/apis",
    "/api/v1",
    "/apis/apps",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/healthz/etcd",
    "/metrics",
    "/api/v1/namespaces",
  ];
  const statuses = async (paths: readonly string[]): Promise<number[]> =>
    Promise.all(paths.map(async (path) => (await raw(`GET ${path}`, [])).status));
  expect(await statuses(open)).toEqual(open.map(() => 200));
  expect(await statuses(closed)).toEqual(closed.map(() => 403));
});
