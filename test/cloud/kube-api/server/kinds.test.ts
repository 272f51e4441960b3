import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestServer, type Answer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/* What the conformance specs "should support … API operations" do with each kind, and the defaults of its documentation. */

const dir = tempDir("kinds");
let server: TestServer;
const call = (...words: Parameters<TestServer["call"]>): Promise<Answer> => server.call(...words);
const merge = { "content-type": "application/merge-patch+json" };

beforeAll(async () => {
  server = await startTestServer(dir.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  dir[Symbol.dispose]();
});

const networking = "/apis/networking.k8s.io/v1";
const storage = "/apis/storage.k8s.io/v1";
const flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
const admission = "/apis/admissionregistration.k8s.io/v1";
const service = { service: { name: "s", port: { number: 80 } } };
const pemRequest = Buffer.from(
  "-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n",
).toString("base64");

describe.each([
  {
    path: `${networking}/namespaces/default/ingresses`,
    kind: "Ingress",
    body: { spec: { rules: [{ http: { paths: [{ path: "/", pathType: "Prefix", backend: service }] } }] } },
    stored: { metadata: { generation: 1 }, status: { loadBalancer: {} } },
  },
  {
    path: `${networking}/ingressclasses`,
    kind: "IngressClass",
    body: { spec: { controller: "example.com/c", parameters: { kind: "P", name: "p" } } },
    stored: { spec: { parameters: { scope: "Cluster" } } },
  },
  {
    path: `${networking}/namespaces/default/networkpolicies`,
    kind: "NetworkPolicy",
    body: { spec: { podSelector: {}, egress: [{ ports: [{ port: 53 }] }] } },
    stored: { spec: { policyTypes: ["Ingress", "Egress"], egress: [{ ports: [{ protocol: "TCP" }] }] } },
  },
  {
    path: `${storage}/storageclasses`,
    kind: "StorageClass",
    body: { provisioner: "example.com/p" },
    stored: { reclaimPolicy: "Delete", volumeBindingMode: "Immediate" },
  },
  {
    path: `${storage}/csidrivers`,
    kind: "CSIDriver",
    body: { spec: { volumeLifecycleModes: ["Ephemeral"] } },
    stored: {
      spec: { attachRequired: true, podInfoOnMount: false, fsGroupPolicy: "ReadWriteOnceWithFSType" },
    },
  },
  {
    path: `${storage}/csinodes`,
    kind: "CSINode",
    body: { spec: { drivers: [{ name: "d.example.com", nodeID: "n", topologyKeys: null }] } },
    stored: { spec: { drivers: [{ name: "d.example.com" }] } },
  },
  {
    path: `${storage}/namespaces/default/csistoragecapacities`,
    kind: "CSIStorageCapacity",
    body: { storageClassName: "local", capacity: "1024Mi" },
    stored: { capacity: "1Gi" },
  },
  {
    path: `${storage}/volumeattachments`,
    kind: "VolumeAttachment",
    body: { spec: { attacher: "a.example.com", nodeName: "n", source: { persistentVolumeName: "pv" } } },
    stored: { status: { attached: false } },
  },
  {
    path: "/apis/node.k8s.io/v1/runtimeclasses",
    kind: "RuntimeClass",
    body: { handler: "runc" },
    stored: { handler: "runc" },
  },
  {
    path: `${flow}/flowschemas`,
    kind: "FlowSchema",
    body: { spec: { priorityLevelConfiguration: { name: "p" } } },
    stored: { spec: { matchingPrecedence: 1000 } },
  },
  {
    path: `${flow}/prioritylevelconfigurations`,
    kind: "PriorityLevelConfiguration",
    body: { spec: { type: "Limited", limited: { limitResponse: { type: "Queue", queuing: {} } } } },
    stored: {
      spec: { limited: { nominalConcurrencyShares: 30, limitResponse: { queuing: { queues: 64 } } } },
    },
  },
  {
    path: `${admission}/validatingwebhookconfigurations`,
    kind: "ValidatingWebhookConfiguration",
    body: {
      webhooks: [
        {
          name: "w.example.com",
          clientConfig: { url: "https://127.0.0.1:1/" },
          sideEffects: "None",
          admissionReviewVersions: ["v1"],
          rules: [{ operations: ["CREATE"], apiGroups: ["a.b"], apiVersions: ["v1"], resources: ["x"] }],
        },
      ],
    },
    stored: {
      webhooks: [
        { failurePolicy: "Fail", matchPolicy: "Equivalent", timeoutSeconds: 10, rules: [{ scope: "*" }] },
      ],
    },
  },
  {
    path: "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    kind: "CertificateSigningRequest",
    body: {
      spec: { request: pemRequest, signerName: "example.com/s", usages: ["client auth"], username: "x" },
    },
    stored: { spec: { username: "kubernetes-admin", groups: ["system:masters", "system:authenticated"] } },
  },
  {
    path: "/api/v1/namespaces/default/podtemplates",
    kind: "PodTemplate",
    body: { template: { spec: { containers: [{ name: "c", image: "busybox:1" }] } } },
    stored: { template: { spec: { restartPolicy: "Always" } } },
  },
])("$kind", ({ path, kind, body, stored }) => {
  const name = "one.example.com";
  const metadata = { name, labels: { special: "yes" } };
  const selected = `${path}?labelSelector=special%3Dyes`;

  test("is created with its defaults, listed, patched, watched, replaced and deleted", async () => {
    const created = await call("POST", path, { metadata, ...body });
    expect(created).toMatchObject({ status: 201, body: { kind, ...stored } });
    expect((await call("GET", selected)).body).toMatchObject({ kind: `${kind}List`, items: [{ metadata }] });
    const patched = await call("PATCH", `${path}/${name}`, { metadata: { annotations: { a: "b" } } }, merge);
    expect(patched).toMatchObject({ status: 200, body: { metadata: { annotations: { a: "b" } } } });
    const replaced = await call("PUT", `${path}/${name}`, patched.body);
    expect(replaced).toMatchObject({ status: 200, body: stored });
    const watch = await server.stream(`${selected}&watch=1&timeoutSeconds=1`);
    expect(await watch.text()).toContain('"type":"ADDED"');
    expect((await call("DELETE", selected)).status).toBe(200);
    expect((await call("GET", `${path}/${name}`)).status).toBe(404);
  });

  test("is in discovery and has columns", async () => {
    const [, root = "", plural = ""] = /^(.*?)(?:\/namespaces\/default)?\/(\w+)$/.exec(path) ?? [];
    const { resources } = (await call("GET", root)).body as unknown as { resources: { name: string }[] };
    expect(resources.map((one) => one.name)).toContain(plural);
    const table = { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" };
    expect((await call("GET", path, undefined, table)).body).toMatchObject({ kind: "Table" });
  });
});

test("a NetworkPolicy is stored with the warning that nothing enforces it", async () => {
  const path = `${networking}/namespaces/default/networkpolicies`;
  const { headers } = await call("POST", path, { metadata: { name: "deny" }, spec: { podSelector: {} } });
  expect(headers.get("warning")).toContain("nothing enforces this policy");
});

test("an Ingress without rules, and one with a relative path, are refused with their paths", async () => {
  const path = `${networking}/namespaces/default/ingresses`;
  expect(await call("POST", path, { metadata: { name: "bad" }, spec: {} })).toMatchObject({
    status: 422,
    body: { details: { causes: [{ field: "spec" }] } },
  });
  const rules = [{ http: { paths: [{ path: "x", pathType: "Odd", backend: service }] } }];
  expect(await call("POST", path, { metadata: { name: "bad" }, spec: { rules } })).toMatchObject({
    status: 422,
    body: {
      details: {
        causes: [
          { field: "spec.rules[0].http.paths[0].pathType" },
          { field: "spec.rules[0].http.paths[0].path" },
        ],
      },
    },
  });
});

test("a certificate request is approved by its subresource, and its spec stays", async () => {
  const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const spec = { request: pemRequest, signerName: "example.com/s", usages: ["client auth"] };
  const { body } = await call("POST", path, { metadata: { name: "csr" }, spec });
  const conditions = [{ type: "Approved", status: "True", reason: "r", message: "m" }];
  const approved = await call("PUT", `${path}/csr/approval`, { ...body, status: { conditions } });
  expect(approved).toMatchObject({ status: 200, body: { status: { conditions } } });
  const certificate = Buffer.from(server.caPem).toString("base64");
  const issued = await call("PATCH", `${path}/csr/status`, { status: { certificate } }, merge);
  expect(issued).toMatchObject({ status: 200, body: { status: { conditions, certificate } } });
  expect(await call("PATCH", `${path}/csr`, { spec: { usages: ["server auth"] } }, merge)).toMatchObject({
    status: 422,
  });
});

describe("HorizontalPodAutoscalers", () => {
  const target = { kind: "Deployment", name: "d" };
  const cpu = (percent: number): object => ({
    type: "Resource",
    resource: { name: "cpu", target: { type: "Utilization", averageUtilization: percent } },
  });
  const path = (version: string): string =>
    `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers`;

  test("of both versions are one object, without loss", async () => {
    const memory = {
      type: "Resource",
      resource: { name: "memory", target: { type: "AverageValue", averageValue: "1Gi" } },
    };
    const spec = { scaleTargetRef: target, maxReplicas: 3, metrics: [cpu(50), memory] };
    await call("POST", path("v2"), { metadata: { name: "both" }, spec });
    const old = await call("GET", `${path("v1")}/both`);
    expect(old.body).toMatchObject({
      apiVersion: "autoscaling/v1",
      spec: { targetCPUUtilizationPercentage: 50, minReplicas: 1 },
    });
    await call("PUT", `${path("v1")}/both`, { ...old.body, spec: { ...old.body["spec"], maxReplicas: 5 } });
    expect((await call("GET", `${path("v2")}/both`)).body).toMatchObject({
      apiVersion: "autoscaling/v2",
      spec: { ...spec, maxReplicas: 5 },
    });
  });

  test("without metrics aim at 80 % of the CPU", async () => {
    const spec = { scaleTargetRef: target, maxReplicas: 2 };
    await call("POST", path("v1"), { metadata: { name: "plain" }, spec });
    expect((await call("GET", `${path("v2")}/plain`)).body).toMatchObject({ spec: { metrics: [cpu(80)] } });
  });
});

describe("the scale of a Deployment", () => {
  const path = "/apis/apps/v1/namespaces/default/deployments";
  const replicas = async (): Promise<unknown> => (await call("GET", `${path}/scaled/scale`)).body["spec"];

  beforeAll(async () => {
    const labels = { app: "scaled" };
    const template = { metadata: { labels }, spec: { containers: [{ name: "c", image: "busybox:1" }] } };
    const spec = { replicas: 2, selector: { matchLabels: labels }, template };
    expect((await call("POST", path, { metadata: { name: "scaled" }, spec })).status).toBe(201);
  });

  // Name and kind as a kube-apiserver 1.26 answered.
  test.each([
    [
      "another name",
      { metadata: { name: "zz" } },
      "the name of the object (zz) does not match the name on the URL (scaled)",
    ],
    [
      "another namespace",
      { metadata: { name: "scaled", namespace: "zz" } },
      "the namespace of the object (zz) does not match the namespace on the request (default)",
    ],
    [
      "another kind",
      { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "scaled" } },
      'Deployment in version "v1" cannot be handled as a Scale: converting (v1.Deployment) to (autoscaling.Scale): unknown conversion',
    ],
  ])("is not written by a body of %s", async (_what, body, message) => {
    const answer = await call("PUT", `${path}/scaled/scale`, { ...body, spec: { replicas: 7 } });
    expect(answer).toMatchObject({ status: 400, body: { reason: "BadRequest", message } });
    expect(await replicas()).toEqual({ replicas: 2 });
  });

  test("is written by a Scale and by a patch", async () => {
    const scale = { metadata: { name: "scaled" }, spec: { replicas: 3 } };
    expect((await call("PUT", `${path}/scaled/scale`, scale)).status).toBe(200);
    expect(await replicas()).toEqual({ replicas: 3 });
    const any = { metadata: { name: "scaled", resourceVersion: "0" }, spec: { replicas: 4 } };
    expect((await call("PUT", `${path}/scaled/scale`, any)).status).toBe(200);
    const stale = { metadata: { name: "scaled", resourceVersion: "1" }, spec: { replicas: 5 } };
    expect((await call("PUT", `${path}/scaled/scale`, stale)).status).toBe(409);
    expect(await replicas()).toEqual({ replicas: 4 });
    await call("PATCH", `${path}/scaled/scale`, { spec: { replicas: 2 } }, merge);
    expect(await replicas()).toEqual({ replicas: 2 });
  });

  test("has no member that a JSON patch could replace when there is none", async () => {
    const patch = [{ op: "replace", path: "/spec/nope", value: 1 }];
    const type = { "content-type": "application/json-patch+json" };
    expect(await call("PATCH", `${path}/scaled/scale`, patch, type)).toMatchObject({ status: 422 });
  });
});

test("a FlowSchema says whether its level exists, as its table does", async () => {
  const table = { accept: "application/json;as=Table;g=meta.k8s.io;v=v1" };
  const missing = async (name: string, status: string): Promise<unknown> => {
    const watch = await server.stream(`${flow}/flowschemas?watch=1&fieldSelector=metadata.name%3D${name}`);
    const decoder = new TextDecoder();
    let text = "";
    for await (const piece of watch.body ?? []) {
      text += decoder.decode(piece, { stream: true });
      if (text.includes(`"status":"${status}"`)) break;
    }
    const { body } = await call("GET", `${flow}/flowschemas/${name}`, undefined, table);
    return body["rows"]?.["0"]?.["cells"]?.["5"];
  };
  const spec = { priorityLevelConfiguration: { name: "later" } };
  await call("POST", `${flow}/flowschemas`, { metadata: { name: "waits" }, spec });
  expect(await missing("waits", "True")).toBe("True");
  const level = { type: "Exempt", exempt: {} };
  await call("POST", `${flow}/prioritylevelconfigurations`, { metadata: { name: "later" }, spec: level });
  expect(await missing("waits", "False")).toBe("False");
  expect(await missing("catch-all", "False")).toBe("False");
});

describe("Events", () => {
  const core = "/api/v1/namespaces/default/events";
  const modern = "/apis/events.k8s.io/v1/namespaces/default/events";

  test("of both groups are one object", async () => {
    const event = {
      metadata: { name: "e1" },
      eventTime: "2026-01-01T00:00:00.123456Z",
      reportingController: "test",
      reportingInstance: "test-1",
      action: "Did",
      reason: "Because",
      type: "Normal",
      note: "hello",
      regarding: { kind: "Pod", name: "p", namespace: "default" },
    };
    expect((await call("POST", modern, event)).body).toMatchObject(event);
    expect((await call("GET", `${core}/e1`)).body).toMatchObject({
      apiVersion: "v1",
      message: "hello",
      involvedObject: { name: "p" },
      reportingComponent: "test",
    });
    await call("PATCH", `${core}/e1`, { message: "changed" }, merge);
    const found = await call("GET", `${modern}?fieldSelector=regarding.name%3Dp`);
    expect(found.body).toMatchObject({ items: [{ note: "changed", apiVersion: "events.k8s.io/v1" }] });
    const watch = await server.stream(`${modern}?watch=1&timeoutSeconds=1`);
    expect(await watch.text()).toContain('"note":"changed"');
    expect((await call("DELETE", `${modern}/e1`)).status).toBe(200);
    expect((await call("GET", `${core}/e1`)).status).toBe(404);
  });

  const strict = {
    eventTime: "2026-01-01T00:00:00.123456Z",
    reportingController: "test",
    reportingInstance: "test-1",
    action: "Did",
    reason: "Because",
    type: "Normal",
    regarding: { kind: "Pod", name: "counted", namespace: "default" },
  };

  test.each([
    ["a reporter with a name", { reportingController: "a/b/c" }, ["reportingController"]],
    [
      "an instance, an action and a reason",
      { reportingInstance: "", action: "", reason: "" },
      ["reportingInstance", "action", "reason"],
    ],
    ["a known type", { type: "Odd" }, ["type"]],
    ["a time", { eventTime: null }, ["eventTime"]],
    [
      "no deprecated fields",
      { deprecatedCount: 2, deprecatedFirstTimestamp: "2026-01-01T00:00:00Z" },
      ["firstTimestamp", "count"],
    ],
    ["a short action", { action: "a".repeat(129) }, ["action"]],
    [
      "a series of two",
      { series: { count: 1, lastObservedTime: "2026-01-01T00:00:00.123456Z" } },
      ["series.count"],
    ],
  ])("of events.k8s.io have %s", async (_what, change, fields) => {
    const answer = await call("POST", modern, { metadata: { name: "refused" }, ...strict, ...change });
    const causes = fields.map((field) => ({ field }));
    expect(answer).toMatchObject({ status: 422, body: { details: { kind: "Event", causes } } });
  });

  test("of events.k8s.io keep what happened, and count on", async () => {
    const { body } = await call("POST", modern, { metadata: { name: "counted" }, ...strict });
    const series = { count: 2, lastObservedTime: "2026-01-01T00:00:01.123456Z" };
    expect(await call("PATCH", `${modern}/counted`, { series }, merge)).toMatchObject({
      status: 200,
      body: { series },
    });
    expect(
      await call("PUT", `${modern}/counted`, { ...body, metadata: { name: "counted" }, reason: "Other" }),
    ).toMatchObject({
      status: 422,
      body: { message: 'Event "counted" is invalid: reason: Invalid value: "Other": field is immutable' },
    });
  });

  test("are in the namespace of what they are about", async () => {
    const event = { metadata: { name: "elsewhere" }, reason: "r", message: "m", type: "Normal" };
    for (const involvedObject of [
      { kind: "Pod", name: "p", namespace: "kube-system" },
      { kind: "Node", name: "n", namespace: "kube-public" },
    ])
      expect(await call("POST", core, { ...event, involvedObject })).toMatchObject({
        status: 422,
        body: { details: { causes: [{ field: "involvedObject.namespace" }] } },
      });
    const about = { ...event, involvedObject: { kind: "Node", name: "n" } };
    expect((await call("POST", core, about)).status).toBe(201);
    expect((await call("POST", "/api/v1/namespaces/kube-public/events", about)).status).toBe(422);
  });
});
