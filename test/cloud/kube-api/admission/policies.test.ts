import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Policies } from "#cloud/kube-api/admission";
import { Conversions } from "#cloud/kube-api/custom-resources/conversion";
import { builtinKinds } from "#cloud/kube-api/kinds";
import { RevisionStore } from "#cloud/kube-api/store";
import { systemClock } from "#shared/clock";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* "Validating Admission Policy" of the Kubernetes documentation, and plugin/policy/validating of apiserver. */

const dir = tempDir("policies");
const group = "/apis/admissionregistration.k8s.io/v1";
const maps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const merge = { "content-type": "application/merge-patch+json" };
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer(dir.path);
}, 60_000);
afterEach(async () => {
  for (const path of [
    `${group}/validatingadmissionpolicybindings`,
    `${group}/validatingadmissionpolicies`,
    maps,
    deployments,
  ])
    await server.call("DELETE", path);
}, 60_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const mapRule = {
  operations: ["CREATE", "UPDATE"],
  apiGroups: [""],
  apiVersions: ["v1"],
  resources: ["configmaps"],
};

async function enforce(spec: object, binding: object = {}): Promise<void> {
  const policy = await server.call("POST", `${group}/validatingadmissionpolicies`, {
    metadata: { name: "demo" },
    spec: { matchConstraints: { resourceRules: [mapRule] }, ...spec },
  });
  expect([policy.status, policy.body["message"]] as unknown[]).toEqual([201, undefined]);
  const bound = await server.call("POST", `${group}/validatingadmissionpolicybindings`, {
    metadata: { name: "everywhere" },
    spec: { policyName: "demo", validationActions: ["Deny"], ...binding },
  });
  expect([bound.status, bound.body["message"]] as unknown[]).toEqual([201, undefined]);
}

const create = (name: string, data: object = {}, labels: object = {}, query = ""): Promise<Answer> =>
  server.call("POST", `${maps}${query}`, { metadata: { name, labels }, data });
const small = [{ expression: "!has(object.data) || size(object.data) <= 1" }];
const denial = (name: string, text: string): string =>
  `configmaps "${name}" is forbidden: ValidatingAdmissionPolicy 'demo' with binding 'everywhere' denied request: ${text}`;
const two = { a: "1", b: "2" };

describe("a policy that is bound", () => {
  test("denies what it does not admit, with Kubernetes' answer", async () => {
    await enforce({ validations: small });
    const message = denial("large", "failed expression: !has(object.data) || size(object.data) <= 1");
    expect(await create("large", two)).toMatchObject({
      status: 422,
      body: {
        reason: "Invalid",
        message,
        details: {
          name: "large",
          kind: "configmaps",
          causes: [{ message: message.slice(message.indexOf("ValidatingAdmissionPolicy")) }],
        },
      },
    });
    expect((await create("small", { a: "1" })).status).toBe(201);
    expect((await server.call("PATCH", `${maps}/small`, { data: { b: "2" } }, merge)).status).toBe(422);
    const dry = await create("dry", two, {}, "?dryRun=All");
    expect(dry.status).toBe(422);
  });

  test("gives its own message and reason", async () => {
    await enforce({
      variables: [
        { name: "count", expression: "has(object.data) ? size(object.data) : 0" },
        { name: "text", expression: "'has ' + string(variables.count) + ' keys'" },
      ],
      validations: [
        { expression: "variables.count <= 1", messageExpression: "variables.text", reason: "Forbidden" },
      ],
    });
    expect(await create("large", two)).toMatchObject({
      status: 403,
      body: { reason: "Forbidden", message: denial("large", "has 2 keys") },
    });
  });

  test("falls back to its message when the expression for it fails", async () => {
    await enforce({
      validations: [{ expression: "false", messageExpression: "object.data.missing", message: "no" }],
    });
    expect((await create("any")).body["message"] as unknown).toBe(denial("any", "no"));
  });

  test("sees the old object, the request, the namespace and rights", async () => {
    await enforce({
      validations: [
        { expression: "oldObject == null || object.data.a == oldObject.data.a", message: "a stays" },
        { expression: "request.operation != 'UPDATE' || request.name == 'kept'", message: "name" },
        { expression: "namespaceObject.metadata.name == request.namespace", message: "namespace" },
        {
          expression: "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()",
        },
        { expression: "authorizer.requestResource.check('create').allowed()" },
        { expression: "request.userInfo.username == 'kubernetes-admin'" },
        {
          expression:
            "!authorizer.serviceAccount('default', 'default').path('/healthz').check('put').allowed()",
        },
      ],
    });
    const made = await create("kept", { a: "1" });
    expect([made.status, made.body["message"]] as unknown[]).toEqual([201, undefined]);
    expect((await server.call("PATCH", `${maps}/kept`, { data: { b: "1" } }, merge)).status).toBe(200);
    const changed = await server.call("PATCH", `${maps}/kept`, { data: { a: "2" } }, merge);
    expect(changed.body["message"] as unknown).toBe(denial("kept", "a stays"));
  });

  test("is for deletions too", async () => {
    await create("kept", {}, { keep: "yes" });
    await enforce({
      matchConstraints: { resourceRules: [{ ...mapRule, operations: ["DELETE"] }] },
      validations: [
        { expression: "object == null && !('keep' in oldObject.metadata.labels)", message: "kept" },
      ],
    });
    const refused = await server.call("DELETE", `${maps}/kept`);
    expect([refused.status, refused.body["message"]] as unknown[]).toEqual([422, denial("kept", "kept")]);
    await server.call("DELETE", `${group}/validatingadmissionpolicybindings/everywhere`);
    expect((await server.call("DELETE", `${maps}/kept`)).status).toBe(200);
  });

  test("is not for what its rules, selectors and conditions leave out", async () => {
    await enforce(
      {
        matchConstraints: {
          resourceRules: [mapRule],
          excludeResourceRules: [{ ...mapRule, resourceNames: ["excluded"] }],
          objectSelector: { matchExpressions: [{ key: "free", operator: "DoesNotExist" }] },
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "default" } },
        },
        matchConditions: [{ name: "named", expression: "object.metadata.name != 'spared'" }],
        validations: [{ expression: "false" }],
      },
      { matchResources: { objectSelector: { matchLabels: { bound: "yes" } } } },
    );
    const bound = { bound: "yes" };
    expect((await create("denied", {}, bound)).status).toBe(422);
    expect((await create("excluded", {}, bound)).status).toBe(201);
    expect((await create("spared", {}, bound)).status).toBe(201);
    expect((await create("free", {}, { ...bound, free: "yes" })).status).toBe(201);
    expect((await create("unbound")).status).toBe(201);
    const elsewhere = { metadata: { name: "elsewhere", labels: bound } };
    expect((await server.call("POST", "/api/v1/namespaces/kube-public/configmaps", elsewhere)).status).toBe(
      201,
    );
  });

  test("warns instead, or writes into the log", async () => {
    await enforce(
      {
        validations: small,
        auditAnnotations: [{ key: "size", valueExpression: "string(size(object.data))" }],
      },
      { validationActions: ["Warn", "Audit"] },
    );
    const { status, headers } = await create("large", two);
    expect(status).toBe(201);
    expect(headers.get("warning")).toBe(
      `299 - "Validation failed for ValidatingAdmissionPolicy 'demo' with binding 'everywhere': failed expression: !has(object.data) || size(object.data) <= 1"`,
    );
    const lines = server.log.lines.join("\n");
    expect(lines).toContain("a request fails an admission policy");
    expect(lines).toContain("an admission policy annotates a request");
  });

  test("fails closed when it cannot be evaluated, unless it says otherwise", async () => {
    const validations = [{ expression: "object.data.missing == '1'" }];
    await enforce({ validations });
    const refused = await create("one", { a: "1" });
    expect([refused.status, refused.body["message"]] as unknown[]).toEqual([
      422,
      denial("one", "expression 'object.data.missing == '1'' resulted in error: no such key: missing"),
    ]);
    await server.call(
      "PATCH",
      `${group}/validatingadmissionpolicies/demo`,
      { spec: { failurePolicy: "Ignore" } },
      merge,
    );
    expect((await create("one", { a: "1" })).status).toBe(201);
  });

  test("is asked about the scale and the status of a Deployment as about others", async () => {
    await enforce({
      matchConstraints: {
        resourceRules: [
          {
            operations: ["UPDATE"],
            apiGroups: ["apps"],
            apiVersions: ["v1"],
            resources: ["deployments", "deployments/scale"],
          },
        ],
      },
      validations: [{ expression: "object.spec.replicas <= 5" }],
    });
    const container = { name: "c", image: "i" };
    const template = { metadata: { labels: { a: "b" } }, spec: { containers: [container] } };
    const spec = { replicas: 1, selector: { matchLabels: { a: "b" } }, template };
    expect((await server.call("POST", deployments, { metadata: { name: "web" }, spec })).status).toBe(201);
    const refused = await server.call("PATCH", `${deployments}/web`, { spec: { replicas: 6 } }, merge);
    expect(refused.body["message"] as unknown).toBe(
      `deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'demo' with binding 'everywhere' denied request: failed expression: object.spec.replicas <= 5`,
    );
    const scaled = await server.call("PATCH", `${deployments}/web/scale`, { spec: { replicas: 6 } }, merge);
    expect(scaled.status).toBe(422);
  });

  test("cannot keep itself, its binding or another policy from being changed", async () => {
    await enforce({
      matchConstraints: {
        resourceRules: [{ operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*"] }],
      },
      validations: [{ expression: "false" }],
    });
    expect((await create("any")).status).toBe(422);
    expect(
      (await server.call("DELETE", `${group}/validatingadmissionpolicybindings/everywhere`)).status,
    ).toBe(200);
    expect((await server.call("DELETE", `${group}/validatingadmissionpolicies/demo`)).status).toBe(200);
    expect((await create("any")).status).toBe(201);
  });
});

describe("params of a policy", () => {
  const paramKind = { apiVersion: "v1", kind: "ConfigMap" };
  const limited = {
    paramKind,
    matchConditions: [{ name: "others", expression: "!object.metadata.name.startsWith('limit')" }],
    validations: [{ expression: "size(object.data) <= int(params.data.most)" }],
  };

  test("are found by name, in the namespace of the request", async () => {
    await enforce(limited, { paramRef: { name: "limit", parameterNotFoundAction: "Deny" } });
    expect((await create("early", two)).body["message"] as unknown).toBe(
      denial(
        "early",
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
      ),
    );
    await server.call("DELETE", `${group}/validatingadmissionpolicybindings/everywhere`);
    await create("limit", { most: "1" });
    await server.call("POST", `${group}/validatingadmissionpolicybindings`, {
      metadata: { name: "everywhere" },
      spec: {
        policyName: "demo",
        validationActions: ["Deny"],
        paramRef: { name: "limit", parameterNotFoundAction: "Deny" },
      },
    });
    expect((await create("large", two)).status).toBe(422);
    expect((await create("small", { a: "1" })).status).toBe(201);
  });

  test("are all that a selector selects; what is not found may be allowed", async () => {
    await create("limit-one", { most: "2" }, { limit: "yes" });
    await create("limit-two", { most: "1" }, { limit: "yes" });
    const selector = { matchLabels: { limit: "yes" } };
    await enforce(limited, { paramRef: { selector, parameterNotFoundAction: "Allow" } });
    expect((await create("large", two)).status).toBe(422);
    await server.call("DELETE", `${maps}/limit-two`);
    expect((await create("large", two)).status).toBe(201);
    await server.call("DELETE", `${maps}/limit-one`);
    expect((await create("huge", { ...two, c: "3" })).status).toBe(201);
  });

  test("of a kind that is not served fail as the policy says", async () => {
    await enforce(
      { ...limited, paramKind: { apiVersion: "example.com/v1", kind: "Limit" } },
      { paramRef: { name: "x", parameterNotFoundAction: "Allow" } },
    );
    expect((await create("any")).body["message"] as unknown).toBe(
      denial("any", "failed to configure binding: paramKind kind `example.com/v1, Kind=Limit` not known"),
    );
  });
});

describe("a policy or binding", () => {
  const causesOf = async (path: string, spec: object): Promise<unknown> => {
    const { status, body } = await server.call("POST", `${group}/${path}`, {
      metadata: { name: "bad" },
      spec,
    });
    expect(status).toBe(422);
    const causes = body["details"]?.["causes"] as unknown as { field: string; message: string }[];
    return causes.map(({ field, message }) => `${field}: ${message}`);
  };

  test("is refused when an expression cannot be compiled", async () => {
    const matchConstraints = { resourceRules: [mapRule] };
    expect(
      await causesOf("validatingadmissionpolicies", {
        matchConstraints,
        variables: [
          { name: "early", expression: "variables.late" },
          { name: "late", expression: "1" },
        ],
        validations: [
          { expression: "params.x == 1" },
          { expression: "variables.gone" },
          { expression: "'text'" },
        ],
      }),
    ).toEqual([
      `spec.variables[0].expression: Invalid value: "variables.late": compilation failed: ERROR: <input>:1:10: undefined field 'late'\n | variables.late\n | .........^`,
      `spec.validations[0].expression: Invalid value: "params.x == 1": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x == 1\n | ^`,
      `spec.validations[1].expression: Invalid value: "variables.gone": compilation failed: ERROR: <input>:1:10: undefined field 'gone'\n | variables.gone\n | .........^`,
      `spec.validations[2].expression: Invalid value: "'text'": must evaluate to bool`,
    ]);
  });

  test("is refused when it says nothing, or two things at once", async () => {
    expect(await causesOf("validatingadmissionpolicies", {})).toEqual([
      "spec.matchConstraints: Required value",
      "spec.validations: Required value: validations or auditAnnotations must be non-empty",
    ]);
    expect(
      await causesOf("validatingadmissionpolicybindings", {
        validationActions: ["Deny", "Warn"],
        paramRef: {},
      }),
    ).toEqual([
      "spec.policyName: Required value",
      expect.stringContaining("spec.validationActions: Invalid value"),
      expect.stringContaining("spec.paramRef.parameterNotFoundAction"),
      "spec.paramRef: Required value: one of name or selector must be specified",
    ]);
  });
});

test("a stored policy that cannot be compiled any longer fails closed", async () => {
  await using store = new RevisionStore({ path: ":memory:", historyRevisions: 10, onError: () => undefined });
  const kind = builtinKinds().find(({ plural }) => plural === "configmaps");
  if (!kind) throw new Error("ConfigMaps are not served");
  const matchConstraints = { resourceRules: [mapRule] };
  const stored = { matchConstraints, validations: [{ expression: "object.(" }] };
  const resource = "admissionregistration.k8s.io/validatingadmissionpolicies";
  await store.write({ resource, key: "/old", object: { metadata: { name: "old" }, spec: stored } });
  const binding = { metadata: { name: "old" }, spec: { policyName: "old", validationActions: ["Deny"] } };
  await store.write({ resource: `${resource.slice(0, -3)}ybindings`, key: "/old", object: binding });
  const log = silentLog();
  using policies = new Policies({
    store,
    versionsOf: () => [],
    conversions: new Conversions({ store, clock: systemClock }),
    log,
    findKind: () => undefined,
    access: () => () => false,
  });
  const request = {
    kind,
    namespace: "",
    name: "any",
    operation: "CREATE",
    subresource: "",
    object: { metadata: { name: "any" } },
    old: undefined,
    dryRun: false,
    author: {},
  } as const;
  const text =
    "ValidatingAdmissionPolicy 'old' denied request: failed to configure policy: compilation failed: ERROR";
  expect(() => policies.check(request, () => undefined)).toThrow(text);
});

test("a policy says which generation of it is in force", async () => {
  await enforce({ validations: small });
  const path = `${group}/validatingadmissionpolicies/demo`;
  expect((await server.call("GET", path)).body["status"] as unknown).toMatchObject({ observedGeneration: 1 });
  const changed = await server.call("PATCH", path, { spec: { failurePolicy: "Ignore" } }, merge);
  expect(changed.body as unknown).toMatchObject({
    metadata: { generation: 2 },
    status: { observedGeneration: 2 },
  });
  const labelled = await server.call("PATCH", path, { metadata: { labels: { a: "b" } } }, merge);
  expect(labelled.body as unknown).toMatchObject({
    metadata: { generation: 2 },
    status: { observedGeneration: 2 },
  });
});
