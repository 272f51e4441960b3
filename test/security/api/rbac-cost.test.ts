import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const group = "rbac.authorization.k8s.io";
const bindings = `/apis/${group}/v1/namespaces/default/rolebindings`;
const pods = "/api/v1/namespaces/default/pods";
const stack = new AsyncDisposableStack();
let server: TestServer;

beforeAll(async () => {
  server = stack.use(await startTestServer(stack.use(tempDir("rbac-cost")).path));
});
afterAll(() => stack.disposeAsync());

function binding(name: string, subjects: readonly object[], role = "reader"): object {
  const roleRef = { apiGroup: group, kind: "Role", name: role };
  return { apiVersion: `${group}/v1`, kind: "RoleBinding", metadata: { name }, roleRef, subjects };
}

const anonymous = [{ apiGroup: group, kind: "Group", name: "system:unauthenticated" }];

/** As nobody. @returns the status */
async function ask(): Promise<number> {
  return (await server.call("GET", pods, undefined, { authorization: "" })).status;
}

test("a request of any user is cheap in a namespace with large bindings", async () => {
  const others = Array.from({ length: 4000 }, (_none, index) => ({
    apiGroup: group,
    kind: "User",
    name: `${index}-${"x".repeat(200)}`,
  }));
  const bodies = Array.from({ length: 60 }, (_none, index) => binding(`large-${index}`, others));
  for (const body of bodies) expect((await server.call("POST", bindings, body)).status).toBe(201);
  await ask();
  const since = performance.now();
  for (let index = 0; index < 20; index += 1) expect(await ask()).toBe(403);
  expect(performance.now() - since).toBeLessThan(2000);
}, 60_000);

test("a right ends and begins with its role, its binding and the subjects of that", async () => {
  const rules = [{ apiGroups: [""], resources: ["pods"], verbs: ["list"] }];
  const roles = `/apis/${group}/v1/namespaces/default/roles`;
  const role = { apiVersion: `${group}/v1`, kind: "Role", metadata: { name: "reader" }, rules };
  const said: number[] = [];
  const step = async (method: "POST" | "PUT" | "DELETE", path: string, body?: object): Promise<void> => {
    await server.call(method, path, body);
    said.push(await ask());
  };
  await step("POST", roles, role);
  await step("POST", bindings, binding("one", anonymous));
  await step("POST", bindings, binding("two", anonymous));
  await step("DELETE", `${bindings}/one`);
  await step("PUT", `${bindings}/two`, binding("two", []));
  await step("PUT", `${bindings}/two`, binding("two", anonymous));
  await step("DELETE", `${roles}/reader`);
  await step("POST", roles, role);
  await step("DELETE", `${bindings}/two`);
  expect(said).toEqual([403, 200, 200, 200, 403, 200, 403, 200, 403]);
});
