import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { textAt } from "#internal/test/support/cloud/api-server.ts";
import { startWiredCloud, type WiredCloud } from "#internal/test/support/cloud/wired-cloud.ts";

const folder = join(import.meta.dir, "../../conf/rbac");
const rbac = "/apis/rbac.authorization.k8s.io/v1";
const core = "/api/v1/namespaces";
const paths: Readonly<Record<string, string>> = {
  Namespace: core,
  ServiceAccount: `${core}/kubeedge/serviceaccounts`,
  ClusterRole: `${rbac}/clusterroles`,
  ClusterRoleBinding: `${rbac}/clusterrolebindings`,
  Role: `${rbac}/namespaces/kubeedge/roles`,
  RoleBinding: `${rbac}/namespaces/kubeedge/rolebindings`,
};

let cloud: WiredCloud;
let authorization = "";

beforeAll(async () => {
  cloud = await startWiredCloud();
  // Not what is in its folders: kubectl apply -f takes the files alone.
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".yaml"))) await apply(file);
  const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: {} };
  const made = await cloud.call("POST", `${core}/kubeedge/serviceaccounts/cloudcore/token`, request);
  authorization = `Bearer ${textAt(made.body, "status", "token")}`;
});
afterAll(() => cloud[Symbol.asyncDispose]());

async function apply(file: string): Promise<void> {
  const parsed = Bun.YAML.parse(readFileSync(join(folder, file), "utf8"));
  for (const object of Array.isArray(parsed) ? parsed : [parsed]) {
    const path = paths[textAt(object, "kind")] ?? "unknown";
    const { status } = await cloud.call("POST", path, object);
    if (status !== 201 && status !== 409) throw new Error(`${file}: ${textAt(object, "kind")} is ${status}`);
  }
}

/** Status codes of what it takes to write a ConfigMap, from its creation to its deletion. */
async function writes(namespace: string): Promise<readonly number[]> {
  const target = `${core}/${namespace}/configmaps`;
  const map = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "profile" } };
  const calls = [
    ["POST", target],
    ["PUT", `${target}/profile`],
    ["GET", `${target}/profile`],
    ["DELETE", `${target}/profile`],
  ] as const;
  const said: number[] = [];
  for (const [method, path] of calls)
    said.push((await cloud.call(method, path, method === "GET" ? undefined : map, { authorization })).status);
  return said;
}

test("cloudcore writes ConfigMaps of its own namespace alone, unless it is to write device profiles", async () => {
  expect(await writes("kubeedge")).toEqual([201, 200, 200, 200]);
  expect(await writes("default")).toEqual([403, 403, 404, 403]);
  await apply("optional/device-profiles.yaml");
  expect(await writes("default")).toEqual([201, 200, 200, 200]);
});
