import { afterAll, beforeAll, expect, test } from "bun:test";
import { startTestServer, type Body, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const pods = "/api/v1/namespaces/default/pods";
const strategic = { "content-type": "application/strategic-merge-patch+json" };
const debug = (name: string, more: object = {}): object => ({ name, image: "busybox:1", ...more });

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

/** The path of a new pod's subresource. */
async function newPod(): Promise<string> {
  const name = `pod-${(count += 1)}`;
  const spec = { containers: [debug("main")], volumes: [{ name: "data", emptyDir: {} }] };
  await server.call("POST", pods, { metadata: { name }, spec });
  return `${pods}/${name}/ephemeralcontainers`;
}

async function add(path: string, ...containers: readonly object[]): ReturnType<TestServer["call"]> {
  return server.call("PATCH", path, { spec: { ephemeralContainers: containers } }, strategic);
}

function namesOf(body: Body): unknown[] {
  const containers = body["spec"]?.["ephemeralContainers"] as unknown as { name: string }[] | undefined;
  return (containers ?? []).map(({ name }) => name);
}

test("containers are added one after another, with defaults", async () => {
  const path = await newPod();
  expect((await add(path, debug("one", { stdin: true, targetContainerName: "main" }))).status).toBe(200);
  const { status, body } = await add(path, debug("two"));
  expect([status, namesOf(body)]).toEqual([200, ["two", "one"]]);
  expect(body["spec"]?.["ephemeralContainers"]?.["1"]).toMatchObject({
    name: "one",
    targetContainerName: "main",
    terminationMessagePolicy: "File",
    imagePullPolicy: "IfNotPresent",
  });
  expect(namesOf((await server.call("GET", path)).body)).toEqual(["two", "one"]);
});

test("nothing else of the pod changes by the subresource", async () => {
  const path = await newPod();
  const { body } = await server.call("GET", path);
  const spec = {
    ...(body["spec"] as object),
    containers: [debug("other")],
    ephemeralContainers: [debug("one")],
  };
  const put = await server.call("PUT", path, { ...body, spec });
  expect([put.status, namesOf(put.body)]).toEqual([200, ["one"]]);
  expect(put.body["spec"]?.["containers"]?.["0"]).toMatchObject({ name: "main" });
});

test("a container cannot be removed or changed once it is there", async () => {
  const path = await newPod();
  await add(path, debug("one"));
  const { body } = await server.call("GET", path);
  const put = (containers: readonly object[]): ReturnType<TestServer["call"]> =>
    server.call("PUT", path, {
      ...body,
      spec: { ...(body["spec"] as object), ephemeralContainers: containers },
    });
  const removed = await put([]);
  expect(removed.body["message"] as unknown as string).toContain(
    'spec.ephemeralContainers: Forbidden: existing ephemeral containers ["one"] may not be removed',
  );
  const changed = await put([debug("one", { command: ["other"] })]);
  expect(changed.body["message"] as unknown as string).toContain('["one"] may not be changed');
});

test.each([
  ["spec.ephemeralContainers[0].name: Duplicate value", debug("main")],
  [
    'spec.ephemeralContainers[0].targetContainerName: Not found: "none"',
    debug("one", { targetContainerName: "none" }),
  ],
  ["spec.ephemeralContainers[0].image: Required value", { name: "one" }],
  [
    "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
    debug("one", { resources: { limits: { cpu: "1" } } }),
  ],
  [
    "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
    debug("one", { ports: [{ containerPort: 80 }] }),
  ],
  [
    "spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set for an Ephemeral Container",
    debug("one", { volumeMounts: [{ name: "data", mountPath: "/data", subPath: "a" }] }),
  ],
])("a container is refused with %s", async (message, container) => {
  const { status, body } = await add(await newPod(), container);
  expect([status, body["message"]] as unknown[]).toEqual([422, expect.stringContaining(message)]);
});

test("a new pod has none, nor has a template", async () => {
  const spec = { containers: [debug("main")], ephemeralContainers: [debug("one")] };
  const pod = await server.call("POST", pods, { metadata: { name: "early" }, spec });
  expect(pod.body["message"] as unknown as string).toContain(
    "spec.ephemeralContainers: Forbidden: cannot be set on create",
  );
  const deployment = await server.call("POST", "/apis/apps/v1/namespaces/default/deployments", {
    metadata: { name: "early" },
    spec: { selector: { matchLabels: { a: "b" } }, template: { metadata: { labels: { a: "b" } }, spec } },
  });
  expect(deployment.body["message"] as unknown as string).toContain(
    "spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template",
  );
});

test("they cannot be added by an update of the pod itself", async () => {
  const path = (await newPod()).replace("/ephemeralcontainers", "");
  const { status } = await server.call(
    "PATCH",
    path,
    { spec: { ephemeralContainers: [debug("one")] } },
    strategic,
  );
  expect(status).toBe(422);
});
