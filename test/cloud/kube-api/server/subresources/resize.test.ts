import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type Body, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const pods = "/api/v1/namespaces/default/pods";
const strategic = { "content-type": "application/strategic-merge-patch+json" };

let folder: ReturnType<typeof tempDir>;
let server: TestServer;
let count = 0;

beforeAll(async () => {
  folder = tempDir();
  server = await startTestServer(folder.path);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** The path of a new pod with one container "c". */
async function newPod(container: object, more: object = {}): Promise<string> {
  const name = `pod-${(count += 1)}`;
  const { status } = await server.call("POST", pods, {
    metadata: { name },
    spec: { containers: [{ name: "c", image: "web:1", ...container }], ...more },
  });
  expect(status).toBe(201);
  return `${pods}/${name}`;
}

async function resize(path: string, container: object): ReturnType<TestServer["call"]> {
  return server.call(
    "PATCH",
    `${path}/resize`,
    { spec: { containers: [{ name: "c", ...container }] } },
    strategic,
  );
}

const amounts = (cpu: string, memory: string) => ({
  resources: { limits: { cpu, memory }, requests: { cpu, memory } },
});

function first(body: Body): unknown {
  return body["spec"]?.["containers"]?.["0"];
}

test("resources of a container change by the subresource, and nothing else does", async () => {
  const path = await newPod(amounts("100m", "64Mi"));
  const { status, body } = await resize(path, {
    ...amounts("200m", "128Mi"),
    image: "other:1",
    resizePolicy: [{ resourceName: "memory", restartPolicy: "RestartContainer" }],
  });
  expect([status, first(body)]).toMatchObject([
    200,
    {
      name: "c",
      image: "web:1",
      ...amounts("200m", "128Mi"),
      resizePolicy: [{ resourceName: "memory", restartPolicy: "RestartContainer" }],
    },
  ]);
  const shown = await server.call("GET", `${path}/resize`);
  expect(first(shown.body)).toMatchObject(amounts("200m", "128Mi"));
});

test("the pod itself does not take other resources", async () => {
  const path = await newPod(amounts("100m", "64Mi"));
  const spec = { containers: [{ name: "c", ...amounts("200m", "64Mi") }] };
  expect((await server.call("PATCH", path, { spec }, strategic)).status).toBe(422);
});

const refused: readonly [string, object, object, string][] = [
  [
    "of another class of quality",
    { resources: { requests: { cpu: "100m" } } },
    amounts("100m", "64Mi"),
    "Pod QOS Class may not change as a result of resizing",
  ],
  [
    "with less memory",
    amounts("100m", "64Mi"),
    amounts("100m", "32Mi"),
    "memory limits cannot be decreased unless resizePolicy is RestartContainer",
  ],
  [
    "of another kind",
    { resources: { limits: { cpu: "1", "ephemeral-storage": "1Gi" } } },
    { resources: { limits: { "ephemeral-storage": "2Gi" }, requests: { "ephemeral-storage": "1Gi" } } },
    "only cpu and memory resources are mutable",
  ],
  [
    "that are removed",
    { resources: { limits: { cpu: "1", memory: "64Mi" }, requests: { cpu: "500m" } } },
    { resources: { limits: { cpu: null } } },
    "resource limits cannot be removed",
  ],
  [
    "that are none",
    amounts("100m", "64Mi"),
    { resources: { limits: { cpu: "50m" } } },
    "must be less than or equal to cpu limit",
  ],
];

test.each(refused)("resources %s are refused", async (_what, before, next, text) => {
  const path = await newPod(before);
  const { status, body } = await resize(path, next);
  expect([status, body["message"]]).toEqual([422, expect.stringContaining(text)]);
});

test("less memory is taken where the container is started again for it", async () => {
  const resizePolicy = [{ resourceName: "memory", restartPolicy: "RestartContainer" }];
  const path = await newPod({ ...amounts("100m", "64Mi"), resizePolicy });
  expect((await resize(path, amounts("100m", "32Mi"))).status).toBe(200);
});

test("an init container that ends keeps its resources, one that goes on beside the others does not", async () => {
  const init = (name: string, more: object) => ({ name, image: "web:1", ...amounts("10m", "8Mi"), ...more });
  const initContainers = [init("ends", {}), init("stays", { restartPolicy: "Always" })];
  const path = await newPod(amounts("100m", "64Mi"), { initContainers });
  const patch = (name: string): ReturnType<TestServer["call"]> =>
    server.call(
      "PATCH",
      `${path}/resize`,
      { spec: { initContainers: [{ name, ...amounts("20m", "16Mi") }] } },
      strategic,
    );
  expect([(await patch("ends")).status, (await patch("stays")).status]).toEqual([422, 200]);
});

test("a resize is charged to the quota of its namespace", async () => {
  const namespace = "resized";
  await server.call("POST", "/api/v1/namespaces", { metadata: { name: namespace } });
  await server.call("POST", `/api/v1/namespaces/${namespace}/resourcequotas`, {
    metadata: { name: "few" },
    spec: { hard: { "limits.memory": "100Mi" } },
  });
  const at = `/api/v1/namespaces/${namespace}/pods`;
  const spec = { containers: [{ name: "c", image: "web:1", ...amounts("10m", "64Mi") }] };
  await server.call("POST", at, { metadata: { name: "web" }, spec });
  const { status, body } = await resize(`${at}/web`, amounts("10m", "128Mi"));
  expect([status, body["message"]]).toEqual([403, expect.stringContaining("exceeded quota: few")]);
});
