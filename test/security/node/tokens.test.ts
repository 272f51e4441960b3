import { afterAll, beforeAll, expect, test } from "bun:test";
import { textAt, type Answer } from "#internal/test/support/cloud/api-server.ts";
import {
  startWiredCloud,
  type WiredCloud,
  type WiredNode,
} from "#internal/test/support/cloud/wired-cloud.ts";

const mirror = { "kubernetes.io/config.mirror": "abc" };
const api = "/api/v1/namespaces/default";
const audience = "https://kubernetes.default.svc.cluster.local";

let cloud: WiredCloud;
let e1: WiredNode;
let e2: WiredNode;

beforeAll(async () => {
  cloud = await startWiredCloud();
  e1 = await cloud.node("e1");
  e2 = await cloud.node("e2");
  for (const name of ["boss", "runner", "default"])
    await post("serviceaccounts", { kind: "ServiceAccount", metadata: { name } });
  await post("secrets", { kind: "Secret", metadata: { name: "key" }, stringData: { a: "b" } });
});

afterAll(() => cloud[Symbol.asyncDispose]());

function post(plural: string, object: object): Promise<Answer> {
  return cloud.call("POST", `${api}/${plural}`, { apiVersion: "v1", ...object });
}

function insertMirror(name: string, spec: object, metadata: object = {}): Promise<unknown> {
  return e1.ask("insert", `default/pod/${name}`, {
    metadata: { name, annotations: mirror, ...metadata },
    spec: { nodeName: "e1", containers: [{ name: "main", image: "x" }], ...spec },
  });
}

async function makePod(name: string, node: string, more: object = {}): Promise<string> {
  const token = { serviceAccountToken: { path: "token" } };
  const vault = { serviceAccountToken: { path: "vault", audience: "vault" } };
  const made = await post("pods", {
    kind: "Pod",
    metadata: { name },
    spec: {
      nodeName: node,
      serviceAccountName: "runner",
      containers: [{ name: "main", image: "x" }],
      volumes: [{ name: "t", projected: { sources: [token, vault] } }],
      ...more,
    },
  });
  return textAt(made.body, "metadata", "uid");
}

function askToken(node: WiredNode, account: string, pod: { name: string; uid: string }, spec: object = {}) {
  const boundObjectRef = { kind: "Pod", apiVersion: "v1", ...pod };
  return node.ask("query", `default/serviceaccounttoken/${account}`, { spec: { boundObjectRef, ...spec } });
}

function tokenOf(answer: unknown): string {
  return (answer as { status?: { token?: string } }).status?.token ?? "";
}

function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<
    string,
    unknown
  >;
}

async function review(token: string, audiences?: readonly string[]): Promise<unknown> {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } };
  const { body: answer } = await cloud.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body);
  return answer["status"];
}

const refused = (message: string): object => ({ ErrStatus: { code: 403, reason: "Forbidden", message } });

test.each<[string, string, object]>([
  ["its alias", "reference service accounts", { serviceAccount: "boss" }],
  ["its name", "reference service accounts", { serviceAccountName: "boss" }],
  ["a pull secret", "reference secrets", { imagePullSecrets: [{ name: "key" }] }],
  [
    "a Secret in a debug container",
    "reference secrets",
    {
      ephemeralContainers: [{ name: "d", image: "x", envFrom: [{ secretRef: { name: "key" } }] }],
    },
  ],
  [
    "a variable of an init container",
    "reference configmaps",
    {
      initContainers: [
        {
          name: "i",
          image: "x",
          env: [{ name: "A", valueFrom: { configMapKeyRef: { name: "c", key: "k" } } }],
        },
      ],
    },
  ],
  [
    "a CSI driver",
    "reference secrets",
    { volumes: [{ name: "v", csi: { driver: "d", nodePublishSecretRef: { name: "key" } } }] },
  ],
  [
    "azureFile",
    "reference secrets",
    { volumes: [{ name: "v", azureFile: { secretName: "key", shareName: "s" } }] },
  ],
  [
    "flexVolume",
    "reference secrets",
    { volumes: [{ name: "v", flexVolume: { driver: "d/e", secretRef: { name: "key" } } }] },
  ],
  [
    "a claim",
    "reference persistentvolumeclaims",
    { volumes: [{ name: "v", persistentVolumeClaim: { claimName: "c" } }] },
  ],
  [
    "an ephemeral claim",
    "reference persistentvolumeclaims",
    { volumes: [{ name: "v", ephemeral: { volumeClaimTemplate: { spec: {} } } }] },
  ],
  [
    "a projected token",
    "use ServiceAccountToken volume projections",
    {
      volumes: [{ name: "v", projected: { sources: [{ serviceAccountToken: { path: "t" } }] } }],
    },
  ],
  [
    "a projected Secret",
    "reference secrets",
    { volumes: [{ name: "v", projected: { sources: [{ secret: { name: "key" } }] } }] },
  ],
  [
    "a volume nobody knows",
    "reference other API objects",
    { volumes: [{ name: "v", novel: { secret: "key" } }] },
  ],
])(
  "cloudcore refuses a node a mirror pod that uses the cluster when it does so by %s",
  async (_by, what, spec) => {
    const message = `pods "m" is forbidden: a mirror pod may not ${what}`;
    expect(await insertMirror("m", spec)).toMatchObject({ Err: refused(message) });
  },
);

test("cloudcore refuses a node a mirror pod when it is another's, unmarked or owned by something else", async () => {
  const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "u", controller: true };
  const answers = [
    await insertMirror("m", { nodeName: "e2" }),
    await insertMirror("m", {}, { annotations: {} }),
    await insertMirror("m", {}, { ownerReferences: [owner] }),
    await insertMirror(
      "m",
      {},
      {
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "e1", uid: "other", controller: true }],
      },
    ),
  ];
  const texts = answers.map(
    (answer) => (answer as { Err: { ErrStatus: { message: string } } }).Err.ErrStatus.message,
  );
  expect(texts).toEqual([
    'pods "m" is forbidden: node "e1" can only create pods with spec.nodeName set to itself',
    'pods "m" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "e1" can only create mirror pods',
    'pods "m" is forbidden: node "e1" can only create pods with an owner reference set to itself',
    expect.stringMatching(/^pods "m" is forbidden: node e1 UID mismatch: expected other got /),
  ]);
});

test("a node's mirror pod has no service account and belongs to its Node when it is stored", async () => {
  expect(await insertMirror("own", {})).toMatchObject({ Err: null });
  const { body } = await cloud.call("GET", `${api}/pods/own`);
  const { body: node } = await cloud.call("GET", "/api/v1/nodes/e1");
  const uid = textAt(node, "metadata", "uid");
  expect(body["metadata"]).toMatchObject({
    ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "e1", uid, controller: true }],
  });
  expect(body["spec"]).not.toContainAnyKeys(["serviceAccountName", "serviceAccount"]);
  const uidOfPod = textAt(body, "metadata", "uid");
  expect(await askToken(e1, "default", { name: "own", uid: uidOfPod })).toMatchObject(
    refused('serviceaccounts "default" is forbidden: node requested token bound to a mirror pod'),
  );
});

test("a node gets a token that is bound to its pod and ends within a day when it asks for 136 years", async () => {
  const uid = await makePod("web", "e1");
  const token = tokenOf(
    await askToken(e1, "runner", { name: "web", uid }, { expirationSeconds: 4_294_967_296 }),
  );
  const claims = claimsOf(token);
  expect(claims).toMatchObject({
    aud: [audience],
    sub: "system:serviceaccount:default:runner",
    "kubernetes.io": { pod: { name: "web", uid }, node: { name: "e1" } },
  });
  expect(Number(claims["exp"]) - Number(claims["iat"])).toBe(86_400);
});

test("a node gets no token when it is not for a pod of its own that uses it", async () => {
  const mine = { name: "mine", uid: await makePod("mine", "e1") };
  const theirs = { name: "theirs", uid: await makePod("theirs", "e2") };
  const plain = {
    name: "plain",
    uid: await makePod("plain", "e1", { volumes: [], automountServiceAccountToken: false }),
  };
  const why = async (answer: Promise<unknown>): Promise<string> =>
    ((await answer) as { ErrStatus: { message: string } }).ErrStatus.message.replace(
      /^.*?is forbidden: /,
      "",
    );
  const unbound = { spec: { expirationSeconds: 3600 } };
  expect([
    await why(e1.ask("query", "default/serviceaccounttoken/runner", unbound)),
    await why(askToken(e1, "runner", { name: "mine", uid: "" })),
    await why(askToken(e1, "runner", { name: "mine", uid: theirs.uid })),
    await why(askToken(e1, "runner", theirs)),
    await why(askToken(e1, "boss", mine)),
    await why(askToken(e1, "runner", mine, { audiences: ["bank"] })),
    await why(askToken(e1, "runner", plain)),
    await why(askToken(e1, "runner", mine, { audiences: [audience, "vault"] })),
  ]).toEqual([
    "node requested token not bound to a pod",
    "node requested token with a pod binding without a uid",
    `the UID in the bound object reference (${theirs.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    "node requested token bound to a pod scheduled on a different node",
    "node requested token bound to a pod running with a different service account",
    'audience "bank" not found in pod spec volume',
    'audience "" not found in pod spec volume',
    "node may only request 0 or 1 audiences",
  ]);
  expect(await askToken(e1, "runner", mine, { expirationSeconds: 60 })).toMatchObject({
    ErrStatus: { code: 422, reason: "Invalid" },
  });
});

test("a node's token is valid for its audience alone when the API reviews it", async () => {
  const uid = await makePod("reviewed", "e1");
  const token = tokenOf(await askToken(e1, "runner", { name: "reviewed", uid }, { audiences: ["vault"] }));
  expect(await review(token)).toMatchObject({ error: expect.any(String) as string });
  expect(await review(token, ["vault", "bank"])).toMatchObject({ authenticated: true, audiences: ["vault"] });
});

test("a node's token is invalid when its pod is deleted, although a new one has its name", async () => {
  const uid = await makePod("short", "e1");
  const token = tokenOf(await askToken(e1, "runner", { name: "short", uid }));
  expect(await review(token)).toMatchObject({ authenticated: true });
  await cloud.call("DELETE", `${api}/pods/short?gracePeriodSeconds=0`);
  await makePod("short", "e1");
  expect(await review(token)).toMatchObject({ error: expect.any(String) as string });
  const headers = { authorization: `Bearer ${token}` };
  expect((await cloud.call("GET", `${api}/pods`, undefined, headers)).status).toBe(401);
});

test("a node's token is invalid when its service account was created again", async () => {
  await post("serviceaccounts", { kind: "ServiceAccount", metadata: { name: "passing" } });
  const uid = await makePod("passer", "e1", { serviceAccountName: "passing" });
  const token = tokenOf(await askToken(e1, "passing", { name: "passer", uid }));
  expect(await review(token)).toMatchObject({ authenticated: true });
  await cloud.call("DELETE", `${api}/serviceaccounts/passing`);
  await post("serviceaccounts", { kind: "ServiceAccount", metadata: { name: "passing" } });
  expect(await review(token)).toMatchObject({ error: expect.any(String) as string });
});

test("a mirror pod gives no right to Secrets when it was stored before they were forbidden", async () => {
  await post("secrets", { kind: "Secret", metadata: { name: "other" }, stringData: { a: "b" } });
  const made = await post("pods", {
    kind: "Pod",
    metadata: { name: "old", annotations: mirror },
    spec: {
      nodeName: "e2",
      containers: [{ name: "main", image: "x", envFrom: [{ configMapRef: { name: "page" } }] }],
    },
  });
  expect(made.status).toBe(201);
  await post("configmaps", { kind: "ConfigMap", metadata: { name: "page" }, data: { a: "b" } });
  expect(await e2.ask("query", "default/configmap/page")).toMatchObject({ ErrStatus: { code: 403 } });
  expect(await e2.ask("query", "default/secret/other")).toMatchObject({ ErrStatus: { code: 403 } });
});
