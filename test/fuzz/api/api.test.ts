import { afterAll } from "bun:test";
import * as fc from "fast-check";
import { connect } from "node:tls";
import { adminToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Json } from "#shared/json";
import { fuzz } from "#internal/test/fuzz/fuzzing.ts";
import { json, objectOf, textOf } from "#internal/test/fuzz/json-values.ts";

interface Sent {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly string[];
  readonly body: string;
}

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

/** The status and the body of one answer, on a connection of its own. */
async function ask(port: number, { method, target, headers, body }: Sent): Promise<[number, string]> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  const answered = Promise.withResolvers<string>();
  let text = "";
  socket.setEncoding("utf8");
  socket.on("data", (part: string) => (text += part));
  socket.on("error", answered.reject);
  socket.on("close", () => answered.resolve(text));
  socket.setTimeout(20_000, () => socket.destroy(new Error(`no answer to ${method} ${target}`)));
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    `Authorization: Bearer ${adminToken}`,
    "Connection: close",
    ...(body === "" ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
    ...headers,
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  const [head = "", ...rest] = (await answered.promise).split("\r\n\r\n");
  return [Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), rest.join("\r\n\r\n")];
}

const kinds: readonly (readonly [string, string, string])[] = [
  ["/api/v1/namespaces/default/configmaps", "v1", "ConfigMap"],
  ["/api/v1/namespaces/default/pods", "v1", "Pod"],
  ["/api/v1/nodes", "v1", "Node"],
  ["/apis/apps/v1/namespaces/default/deployments", "apps/v1", "Deployment"],
  [
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
  ],
  ["/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices", "devices.kubeedge.io/v1beta1", "Device"],
  ["/apis/rbac.authorization.k8s.io/v1/clusterroles", "rbac.authorization.k8s.io/v1", "ClusterRole"],
  ["/apis/authorization.k8s.io/v1/subjectaccessreviews", "authorization.k8s.io/v1", "SubjectAccessReview"],
];

const words = [
  "metadata",
  "spec",
  "status",
  "data",
  "name",
  "namespace",
  "labels",
  "annotations",
  "finalizers",
  "ownerReferences",
  "managedFields",
  "uid",
  "resourceVersion",
  "generateName",
  "template",
  "containers",
  "image",
  "env",
  "selector",
  "matchLabels",
  "replicas",
  "rules",
  "verbs",
  "group",
  "names",
  "versions",
  "schema",
  "openAPIV3Schema",
  "properties",
  "type",
  "kind",
  "plural",
  "volumes",
  "taints",
  "conditions",
  "deletionTimestamp",
  "creationTimestamp",
  "__proto__",
];
const shaped = fc.letrec<{ value: Json; object: { [key: string]: Json } }>((tie) => ({
  value: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    {
      weight: 2,
      arbitrary: fc.oneof(json, fc.constantFrom<Json>("a", "default", "2026-01-01T00:00:00Z", "object", 3)),
    },
    { weight: 2, arbitrary: fc.array(tie("value"), { maxLength: 3 }) },
    { weight: 4, arbitrary: tie("object") },
  ),
  object: fc.array(fc.tuple(fc.constantFrom(...words), tie("value")), { maxLength: 5 }).map(objectOf),
}));

const query = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        "labelSelector",
        "fieldSelector",
        "limit",
        "continue",
        "resourceVersion",
        "resourceVersionMatch",
        "fieldManager",
        "force",
        "fieldValidation",
        "dryRun",
        "propagationPolicy",
        "gracePeriodSeconds",
        "timeoutSeconds",
      ),
      fc.oneof(
        fc.constantFrom(
          "",
          "1",
          "0",
          "-1",
          "All",
          "a=b",
          "metadata.name=a",
          "Exact",
          "Foreground",
          "true",
          "1e9",
          "99999999999999999999",
        ),
        textOf("a", "=", ",", "!", "(", ")", "%", "&", "%00", "%zz"),
      ),
    ),
    { maxLength: 3 },
  )
  .map((pairs) =>
    pairs
      .map(([name, value]) => `${name}=${value.toWellFormed().replaceAll(/[^!-~]/gu, encodeURIComponent)}`)
      .join("&"),
  );

const patchTypes = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];

const request: fc.Arbitrary<Sent> = fc
  .record({
    kind: fc.constantFrom(...kinds),
    name: fc.constantFrom(
      "",
      "/a",
      "/b",
      "/a/status",
      "/a/scale",
      "/a/x",
      "/%2e%2e",
      "/a%2fb",
      "/__proto__",
      "//",
    ),
    method: fc.constantFrom("GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "OPTIONS"),
    query,
    accept: fc.constantFrom(
      "application/json",
      "*/*",
      "application/yaml",
      "application/json;as=Table;v=v1;g=meta.k8s.io",
      "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
      "x",
      ";;;,",
    ),
    type: fc.constantFrom("application/json", "application/yaml", ...patchTypes, "x"),
    object: fc.oneof(shaped.object, json),
    inside: fc.boolean(),
  })
  .map((asked) => ({
    method: asked.method,
    target: `${asked.kind[0]}${asked.method === "POST" ? "" : asked.name}${asked.query === "" ? "" : `?${asked.query}`}`,
    headers: [
      `Accept: ${asked.accept}`,
      `Content-Type: ${asked.method === "PATCH" ? asked.type : "application/json"}`,
    ],
    body: /GET|OPTIONS/.test(asked.method) ? "" : JSON.stringify(asked.inside ? named(asked) : asked.object),
  }));

/** An object of the kind, whatever else is in it. */
function named({ kind: [, apiVersion, kind], object }: { kind: (typeof kinds)[number]; object: Json }): Json {
  if (typeof object !== "object" || object === null || Array.isArray(object)) return object;
  return { apiVersion, kind, ...object, metadata: { ...(object["metadata"] as object), name: "a" } };
}

const strange: fc.Arbitrary<Sent> = fc
  .tuple(
    textOf(
      "/",
      "api",
      "apis",
      "v1",
      "apps",
      "namespaces",
      "default",
      "pods",
      "%2F",
      "%",
      "%00",
      "..",
      "?",
      "*",
      "openapi",
      "version",
      "healthz",
      "//",
    ),
    fc.constantFrom("GET", "DELETE", "HEAD"),
  )
  .map(([path, method]) => ({
    method,
    target: `/${path.toWellFormed().replaceAll(/[^!-~]/gu, encodeURIComponent)}`,
    headers: [],
    body: "",
  }));

fuzz("requests to the API", async () => {
  const dir = stack.use(tempDir("fuzz-api"));
  const server: TestServer = stack.use(await startTestServer(dir.path));
  const { port } = server.api;
  return fc.asyncProperty(
    fc.oneof({ weight: 6, arbitrary: request }, { weight: 1, arbitrary: strange }),
    async (sent) => {
      const [status, body] = await ask(port, sent);
      // As kube-apiserver answers to a malformed version in a list.
      const isOfVersion = status === 500 && body.includes("resourceVersion: Invalid value");
      if (!(status >= 200 && status < 500) && !isOfVersion)
        throw new Error(`${status}: ${body.slice(0, 500)}`);
      const problem = server.log.lines.find((line) => /"level":"(error|warn)"/.test(line));
      if (problem !== undefined) throw new Error(problem);
    },
  );
});
