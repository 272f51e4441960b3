import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { textAt, type Answer, type Body } from "#internal/test/support/cloud/api-server.ts";
import {
  startWiredCloud,
  type WiredCloud,
  type WiredNode,
} from "#internal/test/support/cloud/wired-cloud.ts";

const api = "/api/v1/namespaces/default";
const KiB = 1024;

let cloud: WiredCloud;
let e1: WiredNode;
let e2: WiredNode;

beforeAll(async () => {
  cloud = await startWiredCloud();
  e1 = await cloud.node("e1");
  e2 = await cloud.node("e2");
  for (const [name, node] of [
    ["web", "e1"],
    ["theirs", "e2"],
  ])
    await post("pods", {
      kind: "Pod",
      metadata: { name },
      spec: { nodeName: node, containers: [{ name: "main", image: "x" }] },
    });
});

afterAll(() => cloud[Symbol.asyncDispose]());

function post(plural: string, object: object): Promise<Answer> {
  return cloud.call("POST", `${api}/${plural}`, { apiVersion: "v1", ...object });
}

function sendEvent(node: WiredNode, name: string, about: object, more: object = {}): Promise<unknown> {
  const involvedObject = { apiVersion: "v1", namespace: "default", ...about };
  const event = {
    metadata: { name, namespace: "default" },
    involvedObject,
    reason: "Told",
    message: node.name,
  };
  return node.ask("insert", `default/event/${name}`, { ...event, ...more });
}

const ofNode = (name: string): object => ({ kind: "Node", name, namespace: "" });
const code = (answer: unknown): unknown => {
  const { Err, ErrStatus } = answer as {
    Err?: { ErrStatus: { code: number } } | null;
    ErrStatus?: { code: number };
  };
  return (Err?.ErrStatus ?? ErrStatus)?.code ?? answer;
};

async function items(path: string): Promise<Body[]> {
  return (await cloud.call("GET", path)).body["items"] as unknown as Body[];
}

/** Waits for the Event with which cloudcore reports on the Node what it refused. */
async function warned(node: string, reason: string, text: string): Promise<void> {
  const query = `fieldSelector=involvedObject.name%3D${node},reason%3D${reason}`;
  await until(`${reason} of ${node}`, async () =>
    (await items(`${api}/events?${query}`)).some((event) => textAt(event, "message").includes(text)),
  );
}

test("a node is refused an Event when it is not about itself or its pods", async () => {
  const answers = [
    await sendEvent(e1, "self", ofNode("e1")),
    await sendEvent(e1, "own-pod", { kind: "Pod", name: "web" }),
    await sendEvent(e1, "other-node", ofNode("e2")),
    await sendEvent(e1, "other-pod", { kind: "Pod", name: "theirs" }),
    await sendEvent(e1, "no-pod", { kind: "Pod", name: "none" }),
    await sendEvent(e1, "secret", { kind: "Secret", name: "key" }),
    await sendEvent(e1, "device", { kind: "Device", name: "lamp" }),
    await sendEvent(e1, "elsewhere", { kind: "Pod", name: "web", namespace: "kube-system" }),
    await sendEvent(e1, "lie", ofNode("e1"), { source: { host: "e2" } }),
  ];
  expect(answers.map(code)).toEqual(["OK", "OK", 403, 403, 403, 403, 403, 403, 403]);
});

test("a node's Event stays as it is when another node writes one of its name", async () => {
  expect(await sendEvent(e2, "theirs.1", { kind: "Pod", name: "theirs" })).toBe("OK");
  expect(code(await sendEvent(e1, "theirs.1", { kind: "Pod", name: "web" }))).toBe(403);
  expect(code(await sendEvent(e1, "theirs.1", ofNode("e1")))).toBe(403);
  await post("events", {
    kind: "Event",
    metadata: { name: "web.cloud" },
    involvedObject: { kind: "Pod", name: "web", namespace: "default" },
    reason: "Scheduled",
    message: "by the cloud",
    source: { component: "default-scheduler" },
  });
  expect(code(await sendEvent(e1, "web.cloud", { kind: "Pod", name: "web" }))).toBe(403);
  const messages = await Promise.all(
    ["theirs.1", "web.cloud"].map(async (name) => (await cloud.call("GET", `${api}/events/${name}`)).body),
  );
  expect(messages.map((event) => textAt(event, "message"))).toEqual(["e2", "by the cloud"]);
});

test("a node's Event has nothing but what happened when it brings finalizers, owners and another's name", async () => {
  const metadata = {
    name: "marked",
    finalizers: ["a.b/c"],
    ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: "x", uid: "y" }],
  };
  expect(await sendEvent(e1, "marked", ofNode("e1"), { metadata, count: 1 })).toBe("OK");
  const { body } = await cloud.call("GET", `${api}/events/marked`);
  expect(body["metadata"]).not.toContainAnyKeys(["finalizers", "ownerReferences"]);
  expect(body["source"]).toEqual({ host: "e1" } as never);
});

test("a node may report the end of a deleted pod by its uid, and not that of a new pod of its name", async () => {
  const made = await post("pods", {
    kind: "Pod",
    metadata: { name: "ended" },
    spec: { nodeName: "e1", containers: [{ name: "main", image: "x" }] },
  });
  const uid = textAt(made.body, "metadata", "uid");
  await until(
    "known",
    async () => (await sendEvent(e1, "ended.0", { kind: "Pod", name: "ended", uid })) === "OK",
  );
  await cloud.call("DELETE", `${api}/pods/ended?gracePeriodSeconds=0`);
  const again = await post("pods", {
    kind: "Pod",
    metadata: { name: "ended" },
    spec: { nodeName: "e2", containers: [{ name: "main", image: "x" }] },
  });
  await until("moved", async () => (await sendEvent(e2, "ended.1", { kind: "Pod", name: "ended" })) === "OK");
  expect(await sendEvent(e1, "ended.2", { kind: "Pod", name: "ended", uid })).toBe("OK");
  const other = textAt(again.body, "metadata", "uid");
  expect(code(await sendEvent(e1, "ended.3", { kind: "Pod", name: "ended", uid: other }))).toBe(403);
});

test("a node is refused Events when they are too large or too many", async () => {
  const filler = await cloud.node("filler");
  const large = await Promise.all(
    Array.from({ length: 250 }, (_, index) =>
      sendEvent(filler, `large${index}`, ofNode("filler"), { message: "x".repeat(900_000) }),
    ),
  );
  expect(new Set(large.map(code))).toEqual(new Set([413]));
  const small: unknown[] = [];
  for (let turn = 0; turn < 8; turn += 1)
    small.push(
      ...(await Promise.all(
        Array.from({ length: 200 }, (_, index) =>
          sendEvent(filler, `small${turn}-${index}`, ofNode("filler"), { message: "x".repeat(10 * KiB) }),
        ),
      )),
    );
  expect(new Set(small.map(code))).toEqual(new Set(["OK", 429]));
  const stored = (await items(`${api}/events`)).filter((event) =>
    textAt(event, "metadata", "name").startsWith("small"),
  );
  expect(JSON.stringify(stored).length).toBeLessThan(3 * KiB * KiB);
  await warned("filler", "WriteTooLarge", 'an Event of node "filler" is 900');
  await warned("filler", "WriteRateExceeded", "write rate limit for events");
  expect(
    cloud.log.lines.filter((line) => /"level":"warn".*write rate limit for events/.test(line)),
  ).toHaveLength(1);
  expect(await sendEvent(e1, "others-go-on", ofNode("e1"))).toBe("OK");
  expect(await renew(filler)).toMatchObject({ Err: null });
}, 20_000);

test("a node is refused mirror pods when they are too large or too many", async () => {
  const filler = await cloud.node("mirrors");
  const mirror = (name: string, annotations: object = {}): Promise<unknown> =>
    filler.ask("insert", `default/pod/${name}`, {
      metadata: { name, annotations: { "kubernetes.io/config.mirror": "x", ...annotations } },
      spec: { nodeName: "mirrors", containers: [{ name: "main", image: "x" }] },
    });
  expect(code(await mirror("large", { filling: "x".repeat(200_000) }))).toBe(413);
  const answers: unknown[] = [];
  for (let index = 0; index < 250; index += 1) answers.push(code(await mirror(`fill${index}`)));
  const pods = await items(`/api/v1/pods?fieldSelector=spec.nodeName%3Dmirrors`);
  expect(pods.length).toBeLessThanOrEqual(115);
  expect(answers.slice(-100).every((answer) => answer === 403 || answer === 429)).toBe(true);
}, 20_000);

test("a node is refused a status when it would grow its Node or pod without end", async () => {
  const grower = await cloud.node("grower");
  const condition = (index: number): object => ({
    type: `C${index}`,
    status: "True",
    message: "x".repeat(100_000),
  });
  const answers = [
    code(
      await grower.ask(
        "patch",
        "default/nodepatch/grower",
        JSON.stringify({
          status: { conditions: [{ type: "A", status: "True", message: "x".repeat(300_000) }] },
        }),
      ),
    ),
  ];
  for (let index = 0; index < 30; index += 1) {
    const patch = JSON.stringify({ status: { conditions: [condition(index)] } });
    answers.push(code(await grower.ask("patch", "default/nodepatch/grower", patch)));
  }
  expect(answers[0]).toBe(413);
  expect(answers.at(-1)).toBe(413);
  const { body } = await cloud.call("GET", "/api/v1/nodes/grower");
  expect(JSON.stringify(body).length).toBeLessThan(800 * KiB);
  for (let index = 0; index < 10; index += 1) {
    const patch = JSON.stringify({ status: { conditions: [condition(index)] } });
    answers.push(code(await e1.ask("patch", "default/podpatch/web", patch)));
  }
  expect(answers.at(-1)).toBe(413);
  expect(JSON.stringify((await cloud.call("GET", `${api}/pods/web`)).body).length).toBeLessThan(500 * KiB);
});

test("a node is refused statuses when it has used up its allowance", async () => {
  const writer = await cloud.node("writer");
  let written = 0;
  for (let index = 0; index < 400; index += 1) {
    const patch = JSON.stringify({
      status: { phase: `${index}`, nodeInfo: { machineID: "x".repeat(100_000) } },
    });
    const answer = code(await writer.ask("patch", "default/nodepatch/writer", patch));
    if (answer === 429) break;
    written += 1;
  }
  expect(written).toBeLessThan(200);
  expect(await renew(writer)).toMatchObject({ Err: null });
});

function renew(node: WiredNode): Promise<unknown> {
  const spec = {
    holderIdentity: node.name,
    leaseDurationSeconds: 40,
    renewTime: "2026-01-01T00:00:00.000000Z",
  };
  const resource = `kube-node-lease/lease/${node.name}`;
  return node.ask("insert", resource, { metadata: { name: node.name }, spec });
}

test("a node's lease keeps its own fields alone when it brings finalizers, owners and filling", async () => {
  const owner = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    name: "web",
    uid: "u",
    blockOwnerDeletion: true,
  };
  const uid = textAt((await cloud.call("GET", "/api/v1/nodes/e1")).body, "metadata", "uid");
  const self = { apiVersion: "v1", kind: "Node", name: "e1", uid };
  const lease = (more: object): object => ({
    metadata: { name: "e1", ...more },
    spec: { holderIdentity: "e1", filling: "x".repeat(9000) },
  });
  const resource = "kube-node-lease/lease/e1";
  expect(code(await e1.ask("insert", resource, lease({ annotations: { a: "x".repeat(9000) } })))).toBe(413);
  await e1.ask("insert", resource, lease({ finalizers: ["a.b/c"], ownerReferences: [owner, self] }));
  const { body } = await cloud.call(
    "GET",
    "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/e1",
  );
  expect(body).toMatchObject({
    metadata: { ownerReferences: [self] },
    spec: { holderIdentity: "e1" },
  });
  expect(body["metadata"]).not.toContainKey("finalizers");
  expect(body["spec"]).not.toContainKey("filling");
});

test("a node is refused questions when too many bytes of them wait", async () => {
  const asker = await cloud.node("asker");
  const question = { spec: { filling: "x".repeat(900_000) } };
  const answers = await Promise.all(
    Array.from({ length: 60 }, () => asker.ask("query", "default/node/asker", question)),
  );
  expect(answers.map(code).filter((one) => one === 429).length).toBeGreaterThan(20);
});
