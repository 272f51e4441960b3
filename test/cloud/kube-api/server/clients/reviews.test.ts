import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, textAt, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const dir = tempDir("reviews");
let server: TestServer;

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const pods = { resourceAttributes: { verb: "get", resource: "pods", namespace: "default" } };
const path = { nonResourceAttributes: { path: "/x", verb: "get" } };
const shown =
  'spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:"/x", Verb:"get"}: ';
const both = `${shown}cannot be specified in combination with resourceAttributes`;
const neither =
  'spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified';
const nobody = 'spec.user: Invalid value: "": at least one of user or group must be specified';
const elsewhere = (value: string): string =>
  `spec.resourceAttributes.namespace: Invalid value: "${value}": must match metadata.namespace`;
const inZz = { resourceAttributes: { verb: "get", resource: "pods", namespace: "zz" } };
const inNone = { resourceAttributes: { verb: "get", resource: "pods" } };

test.each<[string, object, string[]]>([
  ["SelfSubjectAccessReview", {}, [neither]],
  ["SelfSubjectAccessReview", { ...pods, ...path }, [both]],
  ["SelfSubjectAccessReview", pods, []],
  ["SelfSubjectAccessReview", path, []],
  ["SubjectAccessReview", {}, [neither, nobody]],
  ["SubjectAccessReview", pods, [nobody]],
  ["SubjectAccessReview", { groups: [], ...pods }, [nobody]],
  ["SubjectAccessReview", { groups: ["a"], ...pods }, []],
  ["SubjectAccessReview", { user: "u" }, [neither]],
  ["SubjectAccessReview", { ...pods, ...path }, [both, nobody]],
  ["LocalSubjectAccessReview", {}, [neither, nobody]],
  ["LocalSubjectAccessReview", { user: "u", ...pods }, []],
  ["LocalSubjectAccessReview", { user: "u", ...inNone }, [elsewhere("")]],
  ["LocalSubjectAccessReview", { user: "u", ...inZz }, [elsewhere("zz")]],
  ["LocalSubjectAccessReview", { user: "u", ...path }, [`${shown}disallowed on this kind of request`]],
  [
    "LocalSubjectAccessReview",
    { user: "u", ...pods, ...path },
    [both, `${shown}disallowed on this kind of request`],
  ],
])("%s of %j is answered, or refused with what is wrong", async (kind, spec, problems) => {
  const place = kind.startsWith("Local") ? "namespaces/default/" : "";
  const { status, body } = await server.call(
    "POST",
    `/apis/authorization.k8s.io/v1/${place}${kind.toLowerCase()}s`,
    { apiVersion: "authorization.k8s.io/v1", kind, spec },
  );
  if (problems.length === 0) return expect(status).toBe(201);
  const list = problems.length === 1 ? problems.join("") : `[${problems.join(", ")}]`;
  expect([status, textAt(body, "message")]).toEqual([422, `.authorization.k8s.io "" is invalid: ${list}`]);
});

test("reviews of no token, no namespace and another namespace are bad requests", async () => {
  const [authorization, authentication] = ["authorization.k8s.io/v1", "authentication.k8s.io/v1"];
  const asked: [string, object][] = [
    [`${authentication}/tokenreviews`, { apiVersion: authentication, kind: "TokenReview" }],
    [
      `${authentication}/tokenreviews`,
      { apiVersion: authentication, kind: "TokenReview", spec: { token: "" } },
    ],
    [
      `${authorization}/selfsubjectrulesreviews`,
      { apiVersion: authorization, kind: "SelfSubjectRulesReview", spec: {} },
    ],
    [
      `${authorization}/namespaces/default/localsubjectaccessreviews`,
      {
        apiVersion: authorization,
        kind: "LocalSubjectAccessReview",
        metadata: { namespace: "zz" },
        spec: { user: "u", ...inZz },
      },
    ],
  ];
  const answers = await Promise.all(
    asked.map(([where, body]) => server.call("POST", `/apis/${where}`, body)),
  );
  expect(answers.map(({ status, body }) => `${status} ${textAt(body, "message")}`)).toEqual([
    "400 token is required for TokenReview in authentication",
    "400 token is required for TokenReview in authentication",
    "400 no namespace on request",
    "400 the namespace of the provided object does not match the namespace sent on the request",
  ]);
});
