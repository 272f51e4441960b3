import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { textAt, type Answer } from "#internal/test/support/cloud/api-server.ts";
import {
  startWiredCloud,
  type WiredCloud,
  type WiredNode,
} from "#internal/test/support/cloud/wired-cloud.ts";

const api = "/api/v1/namespaces/default";

let cloud: WiredCloud;
let e1: WiredNode;
let podUid: string;

/** Node e2 has a pod that uses everything; node e1 has none, and is the one that asks. */
beforeAll(async () => {
  cloud = await startWiredCloud();
  e1 = await cloud.node("e1");
  const e2 = await cloud.node("e2");
  for (const [plural, kind] of [
    ["secrets", "Secret"],
    ["configmaps", "ConfigMap"],
    ["serviceaccounts", "ServiceAccount"],
  ] as const)
    await post(plural, { kind, metadata: { name: "theirs" } });
  const claim = {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    volumeName: "disk",
  };
  await post("persistentvolumeclaims", {
    kind: "PersistentVolumeClaim",
    metadata: { name: "theirs" },
    spec: claim,
  });
  await cloud.call("POST", "/api/v1/persistentvolumes", {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "disk" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      hostPath: { path: "/x" },
      claimRef: { namespace: "default", name: "theirs" },
    },
  });
  const made = await post("pods", {
    kind: "Pod",
    metadata: { name: "theirs" },
    spec: {
      nodeName: "e2",
      serviceAccountName: "theirs",
      containers: [
        {
          name: "main",
          image: "x",
          envFrom: [{ secretRef: { name: "theirs" } }, { configMapRef: { name: "theirs" } }],
        },
      ],
      volumes: [
        { name: "d", persistentVolumeClaim: { claimName: "theirs" } },
        { name: "t", projected: { sources: [{ serviceAccountToken: { path: "token" } }] } },
      ],
    },
  });
  podUid = textAt(made.body, "metadata", "uid");
  await until("e2 reads it", async () => kindOf(await e2.ask("query", "default/secret/theirs")) === "Secret");
});

afterAll(() => cloud[Symbol.asyncDispose]());

function post(plural: string, object: object): Promise<Answer> {
  return cloud.call("POST", `${api}/${plural}`, { apiVersion: "v1", ...object });
}

function kindOf(answer: unknown): unknown {
  return (answer as { kind?: unknown }).kind;
}

const status = { status: { phase: "Failed", conditions: [] } };
const attempts: readonly [operation: string, resource: string, content: unknown][] = [
  ["query", "default/secret/theirs", ""],
  ["query", "default/configmap/theirs", ""],
  ["query", "default/persistentvolumeclaim/theirs", ""],
  ["query", "null/persistentvolume/disk", ""],
  ["query", "null/persistentvolume/..", ""],
  ["query", "null/persistentvolume/../../nodes/e2", ""],
  ["query", "null/volumeattachment/theirs", ""],
  ["query", "default/serviceaccounttoken/theirs", { spec: {} }],
  ["query", "default/secret/../configmap/theirs", ""],
  ["query", "default/pod/theirs", ""],
  ["query", "node/e2/default/secret/theirs", ""],
  ["query", "default/node/e2", ""],
  ["insert", "default/node/e3", { metadata: { name: "e3" } }],
  ["insert", "default/node/e2", { metadata: { name: "e2" } }],
  ["update", "default/node/e2", { metadata: { name: "e2", labels: { a: "b" } } }],
  ["patch", "default/nodepatch/e2", JSON.stringify(status)],
  ["insert", "default/nodestatus/e2", { metadata: { name: "e2" } }],
  ["update", "default/nodestatus/e2", { UID: "x", Status: status.status }],
  ["insert", "kube-node-lease/lease/e2", { metadata: { name: "e2" }, spec: {} }],
  ["update", "kube-node-lease/lease/e2", { metadata: { name: "e2" }, spec: {} }],
  ["update", "default/lease/e1", { metadata: { name: "e1" }, spec: {} }],
  ["query", "kube-node-lease/lease/e2", ""],
  ["patch", "default/podpatch/theirs", JSON.stringify(status)],
  ["update", "default/podstatus/theirs", { Name: "theirs", Status: { phase: "Failed" } }],
  ["delete", "default/pod/theirs", { gracePeriodSeconds: 0 }],
  ["insert", "default/secret/mine", { metadata: { name: "mine" } }],
  ["update", "default/configmap/theirs", { metadata: { name: "theirs" }, data: { a: "b" } }],
  ["delete", "default/secret/theirs", ""],
  ["insert", "default/certificatesigningrequest/e2", { spec: {} }],
  ["query", "default/certificatesigningrequest/e2", ""],
  ["insert", "default/rule/x", {}],
  ["update", "default/rulestatus/x", {}],
  ["query", "k8s/ca.crt", ""],
  ["query", "null/clusterrole/admin", ""],
];

test.each(attempts)(
  "a node is refused what is another's when it asks to %s %s",
  async (operation, resource, content) => {
    const quiet = AbortSignal.timeout(2000);
    const unheard = new Promise<unknown>((resolve) =>
      quiet.addEventListener("abort", () => resolve("no answer")),
    );
    const answer = (await Promise.race([e1.ask(operation, resource, content), unheard])) as {
      Err?: { ErrStatus: { code: number } };
      ErrStatus?: { code: number };
    };
    // What names another node the hub drops unanswered.
    const code = (answer.Err?.ErrStatus ?? answer.ErrStatus)?.code ?? answer;
    expect([400, 403, 404, "no answer"]).toContain(code as never);
    const pod = await cloud.call("GET", `${api}/pods/theirs`);
    expect(pod.body["status"]).toMatchObject({ phase: "Pending" });
    expect((await cloud.call("GET", `${api}/configmaps/theirs`)).body["data"]).toBeUndefined();
  },
);

test("a node gets not found when its resource leads elsewhere in the API", async () => {
  const paths = [
    "default/secret/..",
    "../secret/theirs",
    "./event/x",
    "default/podpatch/%2e%2e",
    "default/configmap/a/b",
  ];
  const answers = await Promise.all(
    paths.map((path) =>
      e1.ask(path.includes("event") ? "insert" : path.includes("patch") ? "patch" : "query", path),
    ),
  );
  const texts = answers.map((answer) => JSON.stringify(answer));
  expect(texts.map((text) => text.includes("does not name an object"))).toEqual(paths.map(() => true));
});

test("a node gets no token of an account when the pod that runs as it is another's", async () => {
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", name: "theirs", uid: podUid };
  expect(
    await e1.ask("query", "default/serviceaccounttoken/theirs", { spec: { boundObjectRef } }),
  ).toMatchObject({
    ErrStatus: { code: 403 },
  });
});

test("a node sets those of its labels that NodeRestriction leaves to it", async () => {
  const node = await cloud.node("labelled");
  await cloud.call(
    "PATCH",
    "/api/v1/nodes/labelled",
    { metadata: { labels: { "node-restriction.kubernetes.io/team": "a" } } },
    {
      "content-type": "application/merge-patch+json",
    },
  );
  const labels = {
    "kubernetes.io/hostname": "labelled",
    "node-role.kubernetes.io/agent": "",
    "node.kubernetes.io/room": "hall",
    "example.com/rack": "3",
    "topology.kubernetes.io/zone": "z",
    "node-role.kubernetes.io/control-plane": "",
    "node-restriction.kubernetes.io/team": "b",
    "deep.node-restriction.kubernetes.io/team": "b",
    "pod-security.kubernetes.io/enforce": "privileged",
    "x.k8s.io/y": "",
  };
  expect(await node.ask("update", "default/node/labelled", { metadata: { name: "labelled", labels } })).toBe(
    "OK",
  );
  const { body } = await cloud.call("GET", "/api/v1/nodes/labelled");
  expect((body["metadata"] as unknown as { labels: object }).labels).toEqual({
    "node-role.kubernetes.io/edge": "",
    "kubernetes.io/hostname": "labelled",
    "node-role.kubernetes.io/agent": "",
    "node.kubernetes.io/room": "hall",
    "example.com/rack": "3",
    "topology.kubernetes.io/zone": "z",
    "node-restriction.kubernetes.io/team": "a",
  });
  await until("notified", async () => {
    const events = await cloud.call("GET", `${api}/events?fieldSelector=involvedObject.name%3Dlabelled`);
    return JSON.stringify(events.body).includes(
      "is not allowed to set the following labels: deep.node-restriction.kubernetes.io/team, node-restriction.kubernetes.io/team, node-role.kubernetes.io/control-plane, pod-security.kubernetes.io/enforce, x.k8s.io/y",
    );
  });
});

test("a node registers with its own labels and taints alone, and changes neither taints nor spec later", async () => {
  const taint = { key: "example.com/edge", effect: "NoSchedule" };
  const labels = { "node-role.kubernetes.io/control-plane": "", room: "hall" };
  const metadata = { name: "fresh", labels, finalizers: ["a.b/c"] };
  const fresh = await cloud.node("fresh", { metadata, spec: { taints: [taint], configSource: {} } });
  const path = "default/nodepatch/fresh";
  await fresh.ask("update", "default/node/fresh", { metadata: { name: "fresh" }, spec: { taints: [] } });
  await fresh.ask("patch", path, JSON.stringify({ status: {}, spec: { taints: null, unschedulable: true } }));
  const { body } = await cloud.call("GET", "/api/v1/nodes/fresh");
  expect(body["metadata"]).toMatchObject({ labels: { "node-role.kubernetes.io/edge": "", room: "hall" } });
  expect(body["metadata"]).not.toContainKey("finalizers");
  expect(JSON.stringify(body["metadata"])).not.toContain("control-plane");
  // The cloud adds the taint of a node that does not report that it is ready.
  const spec = body["spec"] as unknown as { readonly taints: readonly object[] };
  expect(spec).toEqual({ taints: expect.arrayContaining([taint]) as object[] });
});

test("an edge certificate gives no right to a Node of its name when that is another kubelet's", async () => {
  const kubelet = { nodeInfo: { kubeletVersion: "v1.29.3" } };
  await cloud.call("POST", "/api/v1/nodes", {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "worker" },
    status: kubelet,
  });
  await post("secrets", { kind: "Secret", metadata: { name: "worker" } });
  const envFrom = [{ secretRef: { name: "worker" } }];
  await post("pods", {
    kind: "Pod",
    metadata: { name: "worker" },
    spec: { nodeName: "worker", containers: [{ name: "main", image: "x", envFrom }] },
  });
  const thief = await cloud.node("worker");
  const code = {
    ErrStatus: {
      code: 403,
      message: 'nodes "worker" is forbidden: the Node of this name is not an edge node',
    },
  };
  expect(await thief.ask("query", "default/secret/worker")).toMatchObject(code);
  const labels = { "node-role.kubernetes.io/edge": "" };
  expect(
    await thief.ask("update", "default/node/worker", { metadata: { name: "worker", labels } }),
  ).toMatchObject(code);
  expect(await thief.ask("delete", "default/pod/worker", {})).toMatchObject(code);
});
