import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createAuthority } from "#shared/pki";
import {
  startTestServer,
  type Answer,
  type Body,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* "Dynamic Admission Control" of the Kubernetes documentation, and the conformance specs "AdmissionWebhook". */

interface Review {
  readonly request: {
    readonly uid: string;
    readonly operation: string;
    readonly name: string;
    readonly kind: object;
    readonly subResource?: string;
    readonly object: { readonly metadata: object; readonly data?: Record<string, string> } | null;
    readonly oldObject: object | null;
    readonly userInfo: { readonly username: string };
    readonly dryRun: boolean;
  };
}

const dir = tempDir("webhooks");
const maps = "/api/v1/namespaces/default/configmaps";
const configurations = "/apis/admissionregistration.k8s.io/v1";
let server: TestServer;
let hook: ReturnType<typeof Bun.serve>;
let caBundle = "";
const seen: Review["request"][] = [];
let answer: (request: Review["request"]) => object | Promise<object> = () => ({ allowed: true });

beforeAll(async () => {
  server = await startTestServer(dir.path);
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "hook-ca", days: 1, nowMs });
  const subject = { commonName: "hook" };
  const pair = await authority.issue({
    subject,
    hosts: ["127.0.0.1", "hook.default.svc"],
    usage: "server",
    days: 1,
    nowMs,
  });
  caBundle = Buffer.from(authority.certPem).toString("base64");
  hook = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: pair.cert, key: pair.key },
    fetch: async (request) => {
      const { request: asked } = (await request.json()) as Review;
      seen.push(asked);
      return Response.json({ response: { uid: asked.uid, ...(await answer(asked)) } });
    },
  });
});
afterEach(async () => {
  for (const plural of ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"])
    await server.call("DELETE", `${configurations}/${plural}`);
  seen.length = 0;
  answer = () => ({ allowed: true });
});
afterAll(async () => {
  await hook.stop(true);
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const rule = { operations: ["*"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] };

async function register(phase: "mutating" | "validating", more: object = {}): Promise<void> {
  const webhook = {
    name: `${phase}.example.com`,
    clientConfig: { url: `https://127.0.0.1:${hook.port}/hook`, caBundle },
    rules: [rule],
    sideEffects: "None",
    admissionReviewVersions: ["v1"],
    objectSelector: { matchExpressions: [{ key: "free", operator: "DoesNotExist" }] },
    ...more,
  };
  const path = `${configurations}/${phase}webhookconfigurations`;
  const { status } = await server.call("POST", path, { metadata: { name: phase }, webhooks: [webhook] });
  expect(status).toBe(201);
}

const create = (name: string, data: object = {}, labels: object = {}): Promise<Answer> =>
  server.call("POST", maps, { metadata: { name, labels }, data });
const jsonPatch = (patch: object[]): object => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(patch)).toString("base64"),
});

describe("a validating webhook", () => {
  test("sees who writes what, and denies it with its words", async () => {
    await register("validating");
    answer = () => ({ allowed: false, status: { message: "not today", code: 403 }, warnings: ["careful"] });
    const denied = await create("denied", { a: "1" });
    expect(denied).toMatchObject({
      status: 403,
      body: { message: 'admission webhook "validating.example.com" denied the request: not today' },
    });
    expect(seen).toMatchObject([
      {
        operation: "CREATE",
        name: "denied",
        kind: { group: "", version: "v1", kind: "ConfigMap" },
        object: { metadata: { name: "denied", namespace: "default" }, data: { a: "1" } },
        oldObject: null,
        userInfo: { username: "kubernetes-admin" },
        dryRun: false,
      },
    ]);
    expect((await server.call("GET", `${maps}/denied`)).status).toBe(404);
  });

  test("denies updates and deletions", async () => {
    await create("kept", { a: "1" });
    await register("validating");
    answer = () => ({ allowed: false });
    const merge = { "content-type": "application/merge-patch+json" };
    const patched = await server.call("PATCH", `${maps}/kept`, { data: { a: "2" } }, merge);
    const text = 'admission webhook "validating.example.com" denied the request without explanation';
    expect(patched).toMatchObject({ status: 400, body: { message: text } });
    expect((await server.call("DELETE", `${maps}/kept`)).status).toBe(400);
    expect((await server.call("DELETE", `${maps}?fieldSelector=metadata.name%3Dkept`)).status).toBe(400);
    expect(seen.map(({ operation }) => operation)).toEqual(["UPDATE", "DELETE", "DELETE"]);
    expect((await server.call("GET", `${maps}/kept`)).body["data"] as unknown).toEqual({ a: "1" });
  });

  test("is not asked about what its selectors and conditions leave out", async () => {
    await register("validating", {
      matchConditions: [{ name: "named", expression: "object.metadata.name.startsWith('asked')" }],
    });
    answer = () => ({ allowed: false });
    expect((await create("free-of-it", {}, { free: "yes" })).status).toBe(201);
    expect((await create("other")).status).toBe(201);
    expect((await create("asked")).status).toBe(400);
  });

  test("passes its warnings on, and sees that a run is dry", async () => {
    await register("validating");
    answer = () => ({ allowed: true, warnings: ["mind the gap"] });
    const { status, headers } = await server.call("POST", `${maps}?dryRun=All`, {
      metadata: { name: "dry" },
    });
    expect([status, headers.get("warning")]).toEqual([201, '299 - "mind the gap"']);
    expect(seen[0]?.dryRun).toBe(true);
  });

  test("cannot keep its own configuration from being deleted", async () => {
    await register("validating", {
      rules: [{ ...rule, apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"] }],
    });
    answer = () => ({ allowed: false });
    const path = `${configurations}/validatingwebhookconfigurations/validating`;
    expect((await server.call("DELETE", path)).status).toBe(200);
  });
});

describe("a mutating webhook", () => {
  test("changes an object before it is validated", async () => {
    await register("mutating");
    answer = () => jsonPatch([{ op: "add", path: "/data", value: { added: "yes" } }]);
    expect((await create("changed")).body["data"] as unknown).toEqual({ added: "yes" });
  });

  test("that makes an object invalid is refused, as is a change of its name", async () => {
    await register("mutating");
    answer = () => jsonPatch([{ op: "add", path: "/data", value: { "bad key": "x" } }]);
    expect((await create("bad")).status).toBe(422);
    answer = () => jsonPatch([{ op: "replace", path: "/metadata/name", value: "other" }]);
    expect((await create("same")).body).toMatchObject({ metadata: { name: "same" } });
  });

  test("is asked before validating ones, which see its changes", async () => {
    await register("mutating");
    await register("validating");
    answer = ({ object }) =>
      object?.data?.["step"] === undefined
        ? jsonPatch([{ op: "add", path: "/data", value: { step: "1" } }])
        : { allowed: true };
    await create("steps");
    expect(seen.map(({ object }) => object?.data)).toEqual([undefined, { step: "1" }]);
  });
});

describe("a webhook that cannot be called", () => {
  const dead = { url: "https://127.0.0.1:1/" };

  test("fails the request, or is ignored when it asks for that", async () => {
    await register("validating", { clientConfig: dead });
    expect(await create("closed")).toMatchObject({
      status: 500,
      body: {
        reason: "InternalError",
        message: expect.stringContaining(
          'failed calling webhook "validating.example.com": failed to call webhook: Post',
        ),
      },
    });
    await server.call("DELETE", `${configurations}/validatingwebhookconfigurations`);
    await register("validating", { clientConfig: dead, failurePolicy: "Ignore" });
    expect((await create("open")).status).toBe(201);
  });

  test("because its certificate is of another authority fails the request", async () => {
    const url = `https://127.0.0.1:${hook.port}/hook`;
    await register("validating", {
      clientConfig: { url, caBundle: Buffer.from(server.caPem).toString("base64") },
    });
    expect((await create("untrusted")).status).toBe(500);
    expect(seen).toEqual([]);
  });

  test("because it does not answer in time fails the request", async () => {
    await register("validating", { timeoutSeconds: 1 });
    const late = Promise.withResolvers<object>();
    answer = () => late.promise;
    expect((await create("late")).body["message"]).toEqual(
      expect.stringContaining('?timeout=1s": context deadline exceeded'),
    );
    late.resolve({ allowed: true });
  });

  test("because its answer is none fails the request", async () => {
    await register("validating");
    answer = () => ({ uid: "another", allowed: true });
    expect((await create("odd")).body["message"]).toEqual(expect.stringContaining("expected response.uid="));
  });
});

describe("a webhook of a Service", () => {
  const clientConfig = (name = "hook"): object => ({
    service: { namespace: "default", name, path: "/hook" },
    caBundle,
  });

  test("without endpoints fails with what is missing", async () => {
    await register("validating", { clientConfig: clientConfig("absent") });
    expect((await create("nowhere")).body["message"]).toEqual(
      expect.stringContaining('service "absent" not found'),
    );
  });

  test("is called at its endpoints, by the name of the Service", async () => {
    const port = hook.port ?? 0;
    await server.call("POST", "/api/v1/namespaces/default/services", {
      metadata: { name: "hook" },
      spec: { ports: [{ port: 443, targetPort: port }] },
    });
    await server.call("POST", "/api/v1/namespaces/default/endpoints", {
      metadata: { name: "hook" },
      subsets: [{ addresses: [{ ip: "127.0.0.1" }], ports: [{ port }] }],
    });
    await register("validating", { clientConfig: clientConfig() });
    expect((await create("by-service")).status).toBe(201);
    expect(seen.length).toBe(1);
  });
});

test("a patch is done again when the object was written while a webhook was asked", async () => {
  await create("raced", { n: "0" });
  await register("validating");
  const merge = { "content-type": "application/merge-patch+json" };
  let first = true;
  answer = async () => {
    if (!first) return { allowed: true };
    first = false;
    await server.call("DELETE", `${configurations}/validatingwebhookconfigurations`);
    await server.call("PATCH", `${maps}/raced`, { data: { other: "yes" } }, merge);
    return { allowed: true };
  };
  const patched = await server.call("PATCH", `${maps}/raced`, { data: { n: "1" } }, merge);
  expect(patched.body["data"] as unknown as Body).toEqual({ n: "1", other: "yes" } as unknown as Body);
});

test("a webhook for CONNECT decides who reaches into a pod, before its node is asked", async () => {
  const spec = { nodeName: "edge-1", containers: [{ name: "c", image: "busybox:1" }] };
  await server.call("POST", "/api/v1/namespaces/default/pods", { metadata: { name: "p" }, spec });
  const rules = [{ ...rule, operations: ["CONNECT"], resources: ["pods/*"] }];
  await register("validating", { rules });
  answer = ({ subResource = "" }) => ({ allowed: false, status: { message: `no ${subResource}` } });
  const messageOf = async (path: string): Promise<unknown> =>
    (await server.call("GET", `/api/v1/namespaces/default/pods/${path}`)).body["message"];
  const start = 'admission webhook "validating.example.com" denied the request: no';
  expect(await messageOf("p/attach?container=c&stdin=1")).toBe(`${start} attach`);
  expect(await messageOf("p/exec?command=ls&command=-l&stdout=true")).toBe(`${start} exec`);
  expect(await messageOf("p/portforward?ports=80")).toBe(`${start} portforward`);
  expect(await messageOf("p:80/proxy/a?b")).toBe(`${start} proxy`);
  const options = { stdin: false, stdout: false, stderr: false, tty: false };
  expect(seen.map(({ operation, name, kind, object }) => ({ operation, name, kind, object }))).toEqual(
    [
      ["p", { kind: "PodAttachOptions", ...options, stdin: true, container: "c" }],
      ["p", { kind: "PodExecOptions", ...options, stdout: true, command: ["ls", "-l"] }],
      ["p", { kind: "PodPortForwardOptions", ports: [80] }],
      ["p:80", { kind: "PodProxyOptions", path: "/a" }],
    ].map(([name, object]) => ({
      operation: "CONNECT",
      name,
      kind: { group: "", version: "v1", kind: (object as { kind: string }).kind },
      object: { apiVersion: "v1", ...(object as object) },
    })) as never,
  );
  seen.length = 0;
  await messageOf("p/log");
  expect(seen).toEqual([]);
});
