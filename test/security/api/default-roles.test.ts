import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { startTestServer, textAt, type Answer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startWiredCloud, type WiredCloud } from "#internal/test/support/cloud/wired-cloud.ts";

const group = "rbac.authorization.k8s.io";
const rbac = `/apis/${group}/v1`;
const core = "/api/v1/namespaces/default";

let cloud: WiredCloud;
const tokens = new Map<string, string>();

beforeAll(async () => {
  cloud = await startWiredCloud();
  await until("the roles are summed up", async () => {
    const { body } = await cloud.call("GET", `${rbac}/clusterroles/admin`);
    return JSON.stringify(body).includes("rolebindings") && JSON.stringify(body).includes("endpointslices");
  });
  for (const name of ["view", "edit", "admin"]) tokens.set(name, await userWith(name));
});
afterAll(() => cloud[Symbol.asyncDispose]());

/** The token of a service account that has that ClusterRole in namespace default. */
async function userWith(name: string): Promise<string> {
  await cloud.call("POST", `${core}/serviceaccounts`, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name },
  });
  const subjects = [{ kind: "ServiceAccount", name, namespace: "default" }];
  await cloud.call("POST", `${rbac}/namespaces/default/rolebindings`, binding(`${name}-has`, name, subjects));
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const made = await cloud.call("POST", `${core}/serviceaccounts/${name}/token`, request);
  return textAt(made.body, "status", "token");
}

function binding(name: string, to: string, subjects: readonly object[]): object {
  const roleRef = { apiGroup: group, kind: "ClusterRole", name: to };
  return { apiVersion: `${group}/v1`, kind: "RoleBinding", metadata: { name }, roleRef, subjects };
}

function as(name: string, request: string, body?: unknown): Promise<Answer> {
  const [method = "", path = ""] = request.split(" ");
  const token = tokens.get(name);
  return cloud.call(method, path, body, { authorization: token === undefined ? "" : `Bearer ${token}` });
}

const map = (name: string): object => ({ apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
const token = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };

test.each([
  ["view", [200, 200, 403, 403, 403, 403, 403]],
  ["edit", [200, 200, 200, 201, 403, 403, 403]],
  ["admin", [200, 200, 200, 201, 200, 403, 403]],
] as const)("role %s gives what it gives in every cluster", async (name, expected) => {
  const said = [
    await as(name, `GET ${core}/pods`),
    await as(name, "GET /apis/apps/v1/namespaces/default/deployments"),
    await as(name, `GET ${core}/secrets`),
    await as(name, `POST ${core}/configmaps`, map(`of-${name}`)),
    await as(name, `GET ${rbac}/namespaces/default/roles`),
    await as(name, "GET /api/v1/namespaces/kube-system/configmaps"),
    await as(name, "GET /api/v1/nodes"),
  ];
  expect(said.map(({ status }) => status)).toEqual([...expected]);
});

test("a viewer gets no token of a service account and an administrator of a namespace gives no more than it has", async () => {
  const give = `POST ${rbac}/namespaces/default/rolebindings`;
  const said = [
    await as("view", `POST ${core}/serviceaccounts/admin/token`, token),
    await as("edit", give, binding("e", "view", [])),
    await as("admin", give, binding("a", "view", [])),
    await as("admin", give, binding("b", "admin", [])),
    await as("admin", give, binding("c", "cluster-admin", [])),
    await as("admin", `POST ${rbac}/clusterrolebindings`, {
      ...binding("d", "view", []),
      kind: "ClusterRoleBinding",
    }),
  ];
  expect(said.map(({ status }) => status)).toEqual([403, 403, 201, 201, 403, 403]);
});

test("a role of a new kind joins those it is labelled for", async () => {
  const rules = [{ apiGroups: ["devices.kubeedge.io"], resources: ["devices"], verbs: ["list"] }];
  const metadata = { name: "see-devices", labels: { [`${group}/aggregate-to-view`]: "true" } };
  await cloud.call("POST", `${rbac}/clusterroles`, {
    apiVersion: `${group}/v1`,
    kind: "ClusterRole",
    metadata,
    rules,
  });
  const path = "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices";
  await until("the viewer may see them", async () => (await as("view", `GET ${path}`)).status === 200);
});

test("every user may discover what is served, and unauthenticated clients that it is alive", async () => {
  const paths = ["/version", "/apis", "/openapi/v3"];
  const review = { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview", spec: {} };
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const said = async (name: string): Promise<number[]> => {
    const got = await Promise.all(paths.map((one) => as(name, `GET ${one}`)));
    const spec = { resourceAttributes: { verb: "get", resource: "pods" } };
    return [...got, await as(name, `POST ${path}`, { ...review, spec })].map(({ status }) => status);
  };
  expect([await said("view"), await said("")]).toEqual([
    [200, 200, 200, 201],
    [200, 403, 403, 403],
  ]);
});

test("default roles come back after a restart, except those that an operator keeps or made", async () => {
  using dir = tempDir("default-roles");
  const roles = `${rbac}/clusterroles`;
  const bindings = `${rbac}/clusterrolebindings`;
  const info = `${bindings}/system:public-info-viewer`;
  const merge = { "content-type": "application/merge-patch+json" };
  {
    await using server = await startTestServer(dir.path);
    await server.call("DELETE", `${roles}/system:discovery`);
    const autoupdate = { "rbac.authorization.kubernetes.io/autoupdate": "false" };
    await server.call("PATCH", info, { metadata: { annotations: autoupdate }, subjects: null }, merge);
    await server.call("PATCH", `${roles}/cluster-admin`, { rules: [] }, merge);
    await server.call("DELETE", `${roles}/view`);
    const own = { apiVersion: `${group}/v1`, kind: "ClusterRole", metadata: { name: "view" }, rules: [] };
    expect((await server.call("POST", roles, own)).status).toBe(201);
    expect((await server.call("GET", "/healthz", undefined, { authorization: "" })).status).toBe(403);
  }
  await using server = await startTestServer(dir.path);
  const found = await Promise.all(
    [`${roles}/system:discovery`, `${roles}/cluster-admin`, `${roles}/view`].map((path) =>
      server.call("GET", path),
    ),
  );
  expect(found.map(({ status, body }) => [status, JSON.stringify(body).includes('"verbs"')])).toEqual([
    [200, true],
    [200, true],
    [200, false],
  ]);
  expect(JSON.stringify(found[2]?.body)).not.toContain("aggregationRule");
  expect((await server.call("GET", "/healthz", undefined, { authorization: "" })).status).toBe(403);
});
