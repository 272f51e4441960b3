import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { KnownAccess } from "#internal/edge/meta-server/access/known-access.ts";
import type { ResourceRule } from "#internal/edge/meta-server/access/rules.ts";
import { configMap, podObject, startTestNode, WatchLines, type TestNode } from "./harness.ts";

const audience = "https://kubernetes.default.svc";
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const keySet = {
  keys: [
    { ...rsa.publicKey.export({ format: "jwk" }), kid: "rsa-key", use: "sig" },
    { ...ec.publicKey.export({ format: "jwk" }), kid: "ec-key", use: "sig" },
    { kty: "nonsense" },
  ],
};
const rule = (resources: string, ...resourceNames: string[]): ResourceRule => ({
  verbs: ["get", "list", "watch"],
  apiGroups: [""],
  resources: [resources],
  resourceNames,
});

let node: TestNode;
let known: KnownAccess;
beforeEach(async () => {
  node = await startTestNode();
  known = new KnownAccess(node.store.metas);
  known.putKeys({ issuer: "https://issuer", audiences: [audience], keySet });
  known.putOnline(Date.now());
  known.putRules(
    "default",
    "reader",
    new Map([
      ["", [rule("nodes")]],
      ["default", [rule("configmaps"), rule("secrets", "named")]],
    ]),
  );
  await node.put("configmap", configMap("a"));
  await node.put("pod", podObject("web"));
});
afterEach(() => node[Symbol.asyncDispose]());

interface Making {
  readonly claims?: Record<string, unknown>;
  readonly about?: Record<string, unknown>;
  readonly alg?: string;
  readonly kid?: string;
  readonly key?: KeyObject;
}

const seconds = (): number => Math.floor(Date.now() / 1000);

/** A token as the API signs it, or as somebody else would. */
function tokenOf({
  claims = {},
  about = {},
  alg = "RS256",
  kid = "rsa-key",
  key = rsa.privateKey,
}: Making = {}): string {
  const body = {
    iss: "https://issuer",
    aud: [audience],
    sub: "system:serviceaccount:default:reader",
    exp: seconds() + 600,
    nbf: seconds(),
    "kubernetes.io": {
      namespace: "default",
      serviceaccount: { name: "reader", uid: "u" },
      pod: { name: "web", uid: "uid-of-web" },
      ...about,
    },
    ...claims,
  };
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg, kid })}.${part(body)}`;
  const using = alg.startsWith("ES") ? ({ key, dsaEncoding: "ieee-p1363" } as const) : { key };
  return `${signed}.${sign("sha256", Buffer.from(signed), using).toString("base64url")}`;
}

const maps = "/api/v1/namespaces/default/configmaps";
const statusOf = async (token: string, path = maps): Promise<number> => (await node.get(path, token)).status;

test.each([
  ["RSA", {}],
  ["ECDSA", { alg: "ES256", kid: "ec-key", key: ec.privateKey }],
  ["no key id", { kid: "" }],
] as [string, Making][])("a token that the API signed is accepted: %s", async (_what, making) => {
  expect(await statusOf(tokenOf(making))).toBe(200);
});

test("a token that expired while the link was down is accepted as long as its pod is here", async () => {
  known.putOnline(Date.now() - 3_600_000);
  expect(await statusOf(tokenOf({ claims: { exp: seconds() - 60 } }))).toBe(200);
  expect(await statusOf(tokenOf({ claims: { exp: seconds() - 7200 } }))).toBe(401);
  known.putOnline(Date.now());
  expect(await statusOf(tokenOf({ claims: { exp: seconds() - 60 } }))).toBe(401);
});

const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const [head = "", body = "", signature = ""] = tokenOf().split(".");
const unsigned = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
test.each([
  ["of another key", tokenOf({ key: other.privateKey })],
  ["that names another key", tokenOf({ kid: "ec-key" })],
  ["without a signature", `${head}.${body}.`],
  ["with algorithm none", `${unsigned}.${body}.${signature}`],
  ["with an algorithm from Object's prototype", tokenOf({ alg: "constructor" })],
  ["with other claims", `${head}.${Buffer.from("{}").toString("base64url")}.${signature}`],
  ["of another issuer", tokenOf({ claims: { iss: "https://other" } })],
  ["of another audience", tokenOf({ claims: { aud: ["vault"] } })],
  ["without an audience", tokenOf({ claims: { aud: undefined } })],
  ["not valid yet", tokenOf({ claims: { nbf: seconds() + 600 } })],
  ["without an end", tokenOf({ claims: { exp: undefined } })],
  ["whose subject is another", tokenOf({ claims: { sub: "system:serviceaccount:kube-system:admin" } })],
  ["of a pod with this name and another uid", tokenOf({ about: { pod: { name: "web", uid: "of-before" } } })],
  ["of a pod that is not here", tokenOf({ about: { pod: { name: "gone", uid: "uid-of-gone" } } })],
  ["of a secret", tokenOf({ about: { pod: undefined, secret: { name: "s", uid: "s" } } })],
  ["of another node", tokenOf({ about: { pod: undefined, node: { name: "edge-2", uid: "n" } } })],
  [
    "of an account that the pod does not run as",
    tokenOf({
      about: { serviceaccount: { name: "admin", uid: "u" } },
      claims: { sub: "system:serviceaccount:default:admin" },
    }),
  ],
  ["that is none", "a.b.c"],
  ["that is huge", "x".repeat(15_000)],
])("a token %s is refused", async (_what, token) => {
  expect(await statusOf(token)).toBe(401);
});

test.each([
  [maps, 200],
  [`${maps}/a`, 200],
  [`${maps}?watch=true&timeoutSeconds=1`, 200],
  ["/api/v1/nodes", 200],
  ["/api/v1/configmaps", 403],
  ["/api/v1/namespaces/other/configmaps", 403],
  ["/api/v1/namespaces/default/secrets", 403],
  ["/api/v1/namespaces/default/secrets/other", 403],
  ["/api/v1/namespaces/default/secrets/named", 404],
  ["/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dnamed", 200],
  ["/api/v1/namespaces/default/pods/web/log", 403],
  ["/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1", 403],
  ["/api/v1/namespaces/default/pods/web/attach?stdout=1", 403],
  ["/api/v1/namespaces/default/pods/web/portforward", 403],
  ["/apis/apps/v1/deployments", 403],
  ["/apis", 200],
])("an account with rules for its ConfigMaps, a Secret and nodes gets %s: %p", async (path, status) => {
  expect(await statusOf(tokenOf(), path)).toBe(status);
});

test("a watch ends when the pod of its token is removed", async () => {
  const pod = podObject("short");
  await node.put("pod", pod);
  const token = tokenOf({ about: { pod: { name: "short", uid: "uid-of-short" } } });
  const watch = new WatchLines(await node.get(`${maps}?watch=true&labelSelector=none`, token));
  await node.remove("pod", pod);
  expect(await watch.next()).toBeUndefined();
  expect(await statusOf(token)).toBe(401);
});

test("a watch of an account expires when the cloud answers", async () => {
  const watch = new WatchLines(await node.get(`${maps}?watch=true&labelSelector=none`, tokenOf()));
  await node.link(true);
  expect((await watch.next())?.object).toMatchObject({ kind: "Status", code: 410, reason: "Expired" });
  expect(await watch.next()).toBeUndefined();
  await node.link(false);
});

test("versions of the node are refused while the cloud answers, so that clients list again", async () => {
  const { metadata } = (await (await node.get(maps, tokenOf())).json()) as {
    metadata: { resourceVersion: string };
  };
  await node.link(true);
  for (const query of [`watch=true&`, ""])
    expect(
      (await node.get(`${maps}?${query}resourceVersion=${metadata.resourceVersion}`, tokenOf())).status,
    ).toBe(410);
  await node.link(false);
});

test("without a token there is health and version, and nothing else", async () => {
  const answers = ["/healthz", "/livez", "/readyz", "/version", "/api", "/api/v1/pods", "/openapi/v2"].map(
    async (path) => (await node.get(path, "")).status,
  );
  expect(await Promise.all(answers)).toEqual([200, 200, 200, 200, 401, 401, 401]);
});

test.each([
  ["of another name for this machine", { host: "rebound.example:443" }],
  ["from another origin", { origin: "https://page.example" }],
  ["of an opaque origin", { origin: "null" }],
  ["across sites", { "sec-fetch-site": "cross-site" }],
])("a request %s is refused, whatever its token", async (_what, headers) => {
  expect((await node.get(maps, node.operatorToken, { headers })).status).toBe(403);
});

test("changes are refused with the reason", async () => {
  const answer = await node.get(maps, tokenOf(), { method: "POST", body: "{}" });
  expect([answer.status, await answer.text()]).toEqual([
    503,
    expect.stringContaining("changes are made there"),
  ]);
});

test("desired values are set with the rights of the account, and nothing else is changed without a link", async () => {
  const metadata = { name: "thermo-1", namespace: "default", uid: "d", resourceVersion: "1" };
  await node.put("device", { metadata, spec: { properties: [{ name: "target" }] } });
  const place = "/apis/devices.kubeedge.io/v1beta1/namespaces/default/devices/thermo-1";
  const send = async (spec: object): Promise<readonly [number, string]> => {
    const headers = { "content-type": "application/merge-patch+json" };
    const init = { method: "PATCH", headers, body: JSON.stringify({ spec }) };
    const answer = await node.get(place, tokenOf(), init);
    return [answer.status, await answer.text()];
  };
  const desired = { properties: [{ name: "target", desired: { value: "23" } }] };
  expect((await send(desired))[0]).toBe(403);
  const devices = { apiGroups: ["devices.kubeedge.io"], resources: ["devices"], resourceNames: [] };
  known.putRules("default", "reader", new Map([["default", [{ ...devices, verbs: ["patch"] }]]]));
  expect((await send(desired))[0]).toBe(200);
  const [status, text] = await send({ nodeName: "edge-2" });
  expect([status, text.includes("only desired values of Devices can be set here")]).toEqual([503, true]);
  expect(node.desired.map(({ values }) => [...values])).toEqual([[["target", "23"]]]);
});
