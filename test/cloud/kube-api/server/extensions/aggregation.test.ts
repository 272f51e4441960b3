import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:tls";
import { eventually } from "#internal/scripts/service.ts";
import { adminToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import {
  extensionObjects,
  startExtensionServer,
  type ExtensionRequest,
  type ExtensionServer,
} from "#internal/test/support/cloud/extension-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const services = "/apis/apiregistration.k8s.io/v1/apiservices";
const name = "v1alpha1.wardle.example.com";
const root = "/apis/wardle.example.com/v1alpha1";

setDefaultTimeout(60_000);
const dir = tempDir("aggregation");
let server: TestServer;
let extension: ExtensionServer;

/** The values of a header field, one for each time that it was sent. */
function fieldsOf({ rawHeaders }: ExtensionRequest, field: string): string[] {
  return rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === field);
}

const availability = async (of = name): Promise<unknown> => {
  const { body } = await server.call("GET", `${services}/${of}`);
  const conditions = (body["status"]?.["conditions"] ?? []) as unknown as {
    status: string;
    reason: string;
  }[];
  return conditions[0] && `${conditions[0].status} ${conditions[0].reason}`;
};

function becomes(look: () => Promise<unknown>, wanted: unknown): Promise<void> {
  return eventually(20_000, async () => expect(await look()).toEqual(wanted));
}

beforeAll(async () => {
  server = await startTestServer(dir.path);
  extension = await startExtensionServer(server.proxyCaPem, "extension.default.svc");
  for (const [path, object] of extensionObjects(extension, "default"))
    expect(await server.call("POST", path, object)).toMatchObject({ status: 201 });
  await becomes(() => availability(), "True Passed");
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await extension[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

describe("a request to an aggregated API", () => {
  test("reaches its server with the user in its head, and without credentials", async () => {
    const headers = {
      "impersonate-user": "jane",
      "impersonate-group": "a,b",
      "impersonate-extra-scopes%2fx": "one",
      "x-remote-user": "system:admin",
      "x-remote-group": "system:masters",
      "x-remote-extra-x": "y",
    };
    await server.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {
      metadata: { name: "flunders" },
      rules: [{ apiGroups: ["wardle.example.com"], resources: ["flunders"], verbs: ["create"] }],
    });
    await server.call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
      metadata: { name: "flunders" },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "flunders" },
      subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "jane" }],
    });
    const path = `${root}/namespaces/default/flunders?fieldManager=x`;
    const answer = await server.call("POST", path, { kind: "Flunder", spec: { a: "ü" } }, headers);
    expect(answer).toMatchObject({ status: 201, body: { metadata: { name: "one" } } });
    const asked = extension.asked.find(({ method }) => method === "POST");
    if (!asked) throw new Error("the server was not asked");
    expect(asked).toMatchObject({
      url: path,
      client: "front-proxy-client",
      body: '{"kind":"Flunder","spec":{"a":"ü"}}',
    });
    expect(fieldsOf(asked, "x-remote-user")).toEqual(["jane"]);
    expect(fieldsOf(asked, "x-remote-group")).toEqual(["a", "b", "system:authenticated"]);
    expect(fieldsOf(asked, "x-remote-extra-scopes%2fx")).toEqual(["one"]);
    expect(fieldsOf(asked, "x-remote-extra-x")).toEqual([]);
    expect(fieldsOf(asked, "authorization")).toEqual([]);
    expect(fieldsOf(asked, "impersonate-user")).toEqual([]);
  });

  test("is authorized first", async () => {
    // Whether the server is there is asked for all the time.
    const ofFlunders = (): number => extension.asked.filter(({ url }) => url?.includes("/flunders")).length;
    const before = ofFlunders();
    const headers = { "impersonate-user": "nobody" };
    const answer = await server.call("GET", `${root}/namespaces/default/flunders`, undefined, headers);
    expect(answer).toMatchObject({
      status: 403,
      body: {
        message: expect.stringContaining('cannot list resource "flunders" in API group "wardle.example.com"'),
      },
    });
    expect(ofFlunders()).toBe(before);
  });

  test.each(["flunders?watch=1", "watch/flunders"])("streams what the watch %s sees", async (path) => {
    const stop = new AbortController();
    // Answered before there is anything to see.
    const response = await server.stream(`${root}/${path}`, stop.signal);
    extension.emit({ type: "ADDED", object: { n: 1 } });
    let received = "";
    for await (const piece of response.body ?? []) {
      received += Buffer.from(piece).toString();
      if (received.includes("}}")) break;
    }
    stop.abort();
    expect(received.trim()).toBe('{"type":"ADDED","object":{"n":1}}');
  });

  test("goes on in another protocol", async () => {
    const socket = connect({
      port: server.api.port,
      host: "127.0.0.1",
      ca: server.caPem,
      servername: "localhost",
    });
    let received = "";
    socket.on("data", (bytes: Buffer) => (received += bytes.toString("latin1")));
    const head = [
      `GET ${root}/namespaces/default/flunders/one/console HTTP/1.1`,
      "Host: localhost",
      `Authorization: Bearer ${adminToken}`,
      "Connection: Upgrade",
      "Upgrade: websocket",
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    await becomes(async () => received.includes("hello"), true);
    expect(received).toStartWith("HTTP/1.1 101");
    socket.write("ping");
    await becomes(async () => received.includes("echo ping"), true);
    socket.destroy();
  });
});

describe("discovery", () => {
  test("has the aggregated group by its priority, and its resources", async () => {
    const { body } = await server.call("GET", "/apis");
    const groups = (body["groups"] as unknown as { name: string }[]).map((group) => group.name);
    expect(groups).toContain("wardle.example.com");
    expect(groups.indexOf("apps")).toBeLessThan(groups.indexOf("wardle.example.com"));
    expect(groups.indexOf("wardle.example.com")).toBeLessThan(groups.indexOf("metrics.k8s.io"));
    expect(await server.call("GET", "/apis/wardle.example.com")).toMatchObject({
      body: { kind: "APIGroup", preferredVersion: { groupVersion: "wardle.example.com/v1alpha1" } },
    });
    expect((await server.call("GET", root)).body).toMatchObject({ resources: [{ name: "flunders" }, {}] });
    const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    const { items } = (await server.call("GET", "/apis", undefined, { accept })).body as unknown as {
      items: { metadata: { name: string }; versions: object[] }[];
    };
    expect(items.find(({ metadata }) => metadata.name === "wardle.example.com")?.versions).toMatchObject([
      {
        version: "v1alpha1",
        freshness: "Current",
        resources: [{ resource: "flunders", scope: "Namespaced", subresources: [{ subresource: "status" }] }],
      },
    ]);
  });

  test("has the OpenAPI document of the aggregated version", async () => {
    const { body } = await server.call("GET", "/openapi/v3");
    const path = body["paths"]?.["apis/wardle.example.com/v1alpha1"]?.[
      "serverRelativeURL"
    ] as unknown as string;
    expect(path).toBe("/openapi/v3/apis/wardle.example.com/v1alpha1?hash=ABC");
    expect((await server.call("GET", path)).body).toMatchObject({ openapi: "3.0.0" });
  });
});

describe("APIServices", () => {
  test("of what is served here are local, come back when they are deleted, and follow definitions", async () => {
    await becomes(() => availability("v1.apps"), "True Local");
    await server.call("DELETE", `${services}/v1.apps`);
    await becomes(() => availability("v1.apps"), "True Local");
    const names = { plural: "gadgets", singular: "gadget", kind: "Gadget", listKind: "GadgetList" };
    const schema = { openAPIV3Schema: { type: "object" } };
    await server.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
      metadata: { name: "gadgets.example.org" },
      spec: {
        group: "example.org",
        scope: "Namespaced",
        names,
        versions: [{ name: "v1", served: true, storage: true, schema }],
      },
    });
    await becomes(() => availability("v1.example.org"), "True Local");
    await server.call(
      "DELETE",
      "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gadgets.example.org",
    );
    await becomes(async () => (await server.call("GET", `${services}/v1.example.org`)).status, 404);
  });

  test("are validated", async () => {
    const spec = { group: "a.example.com", version: "v1", groupPriorityMinimum: 0, versionPriority: 1 };
    const answer = await server.call("POST", services, { metadata: { name: "wrong" }, spec });
    expect(answer).toMatchObject({
      status: 422,
      body: { details: { causes: [{ field: "metadata.name" }, { field: "spec.groupPriorityMinimum" }] } },
    });
  });

  test("that name a Service for what is served here change nothing", async () => {
    const spec = {
      group: "apps",
      version: "v1",
      groupPriorityMinimum: 20_000,
      versionPriority: 1000,
      service: { name: "extension", namespace: "default" },
      insecureSkipTLSVerify: true,
    };
    const merge = { "content-type": "application/merge-patch+json" };
    expect(await server.call("PATCH", `${services}/v1.apps`, { spec }, merge)).toMatchObject({ status: 200 });
    expect((await server.call("GET", "/apis/apps/v1/deployments")).body).toMatchObject({
      kind: "DeploymentList",
    });
    expect(extension.asked.filter(({ url }) => url?.startsWith("/apis/apps"))).toEqual([]);
    await server.call("DELETE", `${services}/v1.apps`);
  });
});

test("a definition takes its group back from an APIService from its first request on", async () => {
  const spec = {
    group: "taken.example.org",
    version: "v1",
    groupPriorityMinimum: 1000,
    versionPriority: 10,
    service: { name: "extension", namespace: "default" },
    insecureSkipTLSVerify: true,
  };
  await server.call("POST", services, { metadata: { name: "v1.taken.example.org" }, spec });
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const schema = { openAPIV3Schema: { type: "object" } };
  await server.call("POST", definitions, {
    metadata: { name: "taps.taken.example.org" },
    spec: {
      group: "taken.example.org",
      scope: "Cluster",
      names: { plural: "taps", singular: "tap", kind: "Tap", listKind: "TapList" },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  });
  const path = "/apis/taken.example.org/v1/taps";
  expect((await server.call("GET", path)).body).toMatchObject({ kind: "TapList" });
  expect(extension.asked.filter((request) => request.url?.startsWith(path))).toEqual([]);
  await server.call("DELETE", `${definitions}/taps.taken.example.org`);
  await server.call("DELETE", `${services}/v1.taken.example.org`);
});

test("a server goes on answering while its APIService changes", async () => {
  const merge = { "content-type": "application/merge-patch+json" };
  const statuses = [];
  for (const versionPriority of [11, 12, 13, 14, 15]) {
    await server.call("PATCH", `${services}/${name}`, { spec: { versionPriority } }, merge);
    statuses.push((await server.call("GET", `${root}/flunders`)).status);
  }
  expect(statuses).toEqual([200, 200, 200, 200, 200]);
});

test("a server that fails is answered for with 503, and its resources become stale", async () => {
  extension.fail(true);
  const service = { metadata: { annotations: { again: "1" } } };
  const endpoints = "/api/v1/namespaces/default/endpoints/extension";
  const merge = { "content-type": "application/merge-patch+json" };
  await server.call("PATCH", endpoints, service, merge);
  await becomes(() => availability(), "False FailedDiscoveryCheck");
  const answer = await server.call("GET", `${root}/flunders`);
  expect(answer).toMatchObject({ status: 503, body: { text: "service unavailable\n" } });
  extension.fail(false);
  await server.call("PATCH", endpoints, { metadata: { annotations: { again: "2" } } }, merge);
  await becomes(() => availability(), "True Passed");
});
