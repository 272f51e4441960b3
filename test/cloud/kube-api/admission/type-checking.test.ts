import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* "Type checking" in "Validating Admission Policy" of the Kubernetes documentation. */

const dir = tempDir("type-checking");
let server: TestServer;
const path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

async function checked(name: string, resources: readonly string[], expression: string): Promise<unknown> {
  const rule = { operations: ["*"], apiGroups: ["apps"], apiVersions: ["v1"], resources };
  const { status, body } = await server.call("POST", path, {
    metadata: { name },
    spec: { matchConstraints: { resourceRules: [rule] }, validations: [{ expression }] },
  });
  expect(status).toBe(201);
  return body["status"]?.["typeChecking"];
}

test.each([
  ["a field", "object.spec.replicas > 1"],
  ["a field of an item", "object.spec.template.spec.containers.all(c, has(c.image))"],
  ["a label", "object.metadata.labels.app == 'a'"],
  ["a number or text", "object.spec.strategy.rollingUpdate.maxSurge == 1"],
])("a policy that uses %s has no warning", async (what, expression) => {
  expect(await checked(what.replaceAll(" ", "-"), ["deployments"], expression)).toEqual({});
});

test("a policy for anything is not checked", async () => {
  expect(await checked("wildcard", ["*"], "object.spec.nope == 1")).toEqual({});
});

test("a policy says which fields the kinds that it is for do not have", async () => {
  const where = "<input>:1:12: undefined field 'replcas'\n | object.spec.replcas > 1\n | ...........^\n";
  const resources = ["deployments", "replicasets"];
  expect(await checked("typo", resources, "object.spec.replcas > 1")).toEqual({
    expressionWarnings: [
      {
        fieldRef: "spec.validations[0].expression",
        warning: ["Deployment", "ReplicaSet"]
          .map((kind) => `apps/v1, Kind=${kind}: ERROR: ${where}`)
          .join(""),
      },
    ],
  });
  const type = { "content-type": "application/json-patch+json" };
  const patch = [
    { op: "replace", path: "/spec/validations/0/expression", value: "object.spec.replicas > 1" },
  ];
  const fixed = await server.call("PATCH", `${path}/typo`, patch, type);
  expect(fixed.body["status"] as unknown).toEqual({ observedGeneration: 2, typeChecking: {} });
});

test("an expression for some of the kinds warns of the others alone", async () => {
  const status = (await checked("some", ["deployments", "daemonsets"], "object.spec.replicas > 1")) as {
    expressionWarnings: { warning: string }[];
  };
  expect(status.expressionWarnings.map(({ warning }) => warning.split(":", 1)[0])).toEqual([
    "apps/v1, Kind=DaemonSet",
  ]);
});
