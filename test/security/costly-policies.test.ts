import { afterAll, beforeAll, expect, test } from "bun:test";
import { compileExpression, type Meter } from "#cloud/kube-api/custom-resources/cel";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* Expressions of rules and policies run in the turn of a request: what they may cost is bounded. */

const dir = tempDir("costly-policies");
const group = "/apis/admissionregistration.k8s.io/v1";
const outOfSteps = "operation cancelled: actual cost limit exceeded";
const large = "x".repeat(500_000);
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer(dir.path);
}, 60_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

function failureOf(text: string, values: Record<string, unknown>): string {
  const expression = compileExpression(text, ["self"]);
  if (typeof expression === "string") throw new Error(expression);
  const meter: Meter = { steps: 4_000_000 };
  try {
    expression.evaluate(values, meter);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

test.each([
  [
    "a text that is added to itself again and again",
    `size(${Array.from({ length: 12 }, () => "self.t").join(" + ")}) > 0`,
  ],
  ["each letter replaced by a large text", "self.t.replace('x', self.t) == ''"],
  ["many large texts joined", "self.l.map(i, self.t).join('') == ''"],
  ["a large separator", "self.l.join(self.t) == ''"],
  ["loops in loops", "self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a != 'y'))))"],
  ["an expression that finds at every place", "self.t.findAll('(x*)*y|x').size() > 0"],
])("%s runs out of steps", (_what, text) => {
  const l = Array.from({ length: 2000 }, () => "x");
  expect(failureOf(text, { self: { t: large, l } })).toBe(outOfSteps);
});

async function enforce(name: string, spec: object): Promise<void> {
  const rule = { operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] };
  const policy = {
    metadata: { name },
    spec: { matchConstraints: { resourceRules: [rule] }, ...spec },
  };
  const made = await server.call("POST", `${group}/validatingadmissionpolicies`, policy);
  expect([made.status, made.body["message"]] as unknown[]).toEqual([201, undefined]);
  const binding = { metadata: { name }, spec: { policyName: name, validationActions: ["Deny"] } };
  expect((await server.call("POST", `${group}/validatingadmissionpolicybindings`, binding)).status).toBe(201);
}

async function remove(name: string): Promise<void> {
  await server.call("DELETE", `${group}/validatingadmissionpolicybindings/${name}`);
  await server.call("DELETE", `${group}/validatingadmissionpolicies/${name}`);
}

const create = (data: object): Promise<Answer> =>
  server.call("POST", "/api/v1/namespaces/default/configmaps", { metadata: { generateName: "map-" }, data });

test("variables that double each other are stopped before they fill the memory", async () => {
  const variables = [
    { name: "v0", expression: "object.data.text" },
    ...Array.from({ length: 40 }, (_none, index) => ({
      name: `v${index + 1}`,
      expression: `variables.v${index} + variables.v${index}`,
    })),
  ];
  await enforce("doubling", { variables, validations: [{ expression: "size(variables.v40) > 0" }] });
  const refused = await create({ text: "x".repeat(1000) });
  await remove("doubling");
  expect(refused.status).toBe(422);
  expect(refused.body["message"] as unknown).toContain(outOfSteps);
}, 60_000);

test("a policy that asks for rights without end is stopped", async () => {
  const asked = "authorizer.group('').resource('pods').namespace(k).check('get').allowed()";
  await enforce("asking", { validations: [{ expression: `object.data.all(k, ${asked})` }] });
  const keys = Array.from({ length: 500 }, (_none, index) => [`key-${index}`, ""]);
  const refused = await create(Object.fromEntries(keys) as object);
  await remove("asking");
  expect(refused.body["message"] as unknown).toContain(outOfSteps);
}, 60_000);

test("a policy that loops is stopped, and requests of others go on", async () => {
  const loop = "object.data.all(a, object.data.all(b, object.data.all(c, a != 'none')))";
  await enforce("looping", { validations: [{ expression: loop }] });
  const data = Object.fromEntries(Array.from({ length: 1000 }, (_none, index) => [`key-${index}`, ""]));
  const answers = await Promise.all([
    create(data),
    create(data),
    server.call("GET", "/api/v1/namespaces"),
    server.call("POST", "/api/v1/namespaces/default/secrets", { metadata: { generateName: "s-" } }),
  ]);
  await remove("looping");
  expect(answers.map(({ status }) => status)).toEqual([422, 422, 200, 201]);
  expect(answers[0]?.body["message"] as unknown).toContain(outOfSteps);
}, 60_000);
