import { afterAll, beforeAll, expect, test } from "bun:test";
import { until } from "#internal/test/cloud/controllers/cluster-harness.ts";
import { textAt, type Answer } from "#internal/test/support/cloud/api-server.ts";
import { startWiredCloud, type WiredCloud } from "#internal/test/support/cloud/wired-cloud.ts";

const rbac = "/apis/rbac.authorization.k8s.io/v1";
const inDefault = `${rbac}/namespaces/default`;
const group = "rbac.authorization.k8s.io";

type Verb = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

let cloud: WiredCloud;
/** May do anything with roles and bindings, read pods, and nothing else. */
let clerk: string;

beforeAll(async () => {
  cloud = await startWiredCloud();
  clerk = await userWith("clerk", [
    {
      verbs: ["*"],
      apiGroups: [group],
      resources: ["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
    },
    { verbs: ["get", "list"], apiGroups: [""], resources: ["pods", "pods/log"] },
  ]);
  // A role with "*" as verb holds escalate and bind too: take these away.
  await admin(
    "PUT",
    `${rbac}/clusterroles/clerk`,
    clusterRole("clerk", [
      {
        verbs: ["get", "list", "watch", "create", "update", "patch", "delete"],
        apiGroups: [group],
        resources: ["roles", "rolebindings", "clusterroles", "clusterrolebindings"],
      },
      { verbs: ["get", "list"], apiGroups: [""], resources: ["pods", "pods/log"] },
    ]),
  );
});

afterAll(() => cloud[Symbol.asyncDispose]());

function admin(method: Verb, path: string, body?: unknown, headers = {}): Promise<Answer> {
  return cloud.call(method, path, body, headers);
}

/** `request` is method and path. */
function as(token: string, request: string, body?: unknown, headers = {}): Promise<Answer> {
  const [method = "", path = ""] = request.split(" ");
  return cloud.call(method, path, body, { authorization: `Bearer ${token}`, ...headers });
}

/** A token of a service account that is bound to a ClusterRole of its name. */
async function userWith(name: string, rules: readonly object[]): Promise<string> {
  const api = "/api/v1/namespaces/default/serviceaccounts";
  await admin("POST", api, { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } });
  await admin("POST", `${rbac}/clusterroles`, clusterRole(name, rules));
  const subjects = [{ kind: "ServiceAccount", name, namespace: "default" }];
  const binding = { ...bindingTo("ClusterRole", name, `${name}-has`), kind: "ClusterRoleBinding", subjects };
  await admin("POST", `${rbac}/clusterrolebindings`, binding);
  const made = await admin("POST", `${api}/${name}/token`, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: {},
  });
  return textAt(made.body, "status", "token");
}

function clusterRole(name: string, rules: readonly object[], more: object = {}): object {
  return { apiVersion: `${group}/v1`, kind: "ClusterRole", metadata: { name }, rules, ...more };
}

function role(name: string, rules: readonly object[]): object {
  return { apiVersion: `${group}/v1`, kind: "Role", metadata: { name, namespace: "default" }, rules };
}

function bindingTo(kind: string, to: string, name: string): object {
  return {
    apiVersion: `${group}/v1`,
    kind: "RoleBinding",
    metadata: { name },
    roleRef: { apiGroup: group, kind, name: to },
    subjects: [{ kind: "User", name: "friend" }],
  };
}

const readSecrets = { verbs: ["get"], apiGroups: [""], resources: ["secrets"] };
const readPods = { verbs: ["get"], apiGroups: [""], resources: ["pods"] };

function said({ status, body }: Answer): string {
  return `${status} ${textAt(body, "message")}`;
}

const grantRefused = (what: string, name: string, missing: string): string =>
  `403 ${what}.${group} "${name}" is forbidden: user "system:serviceaccount:default:clerk" (groups=["system:serviceaccounts" "system:serviceaccounts:default" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n${missing}`;

test("API refuses a role beyond its author's rights on every way of writing it", async () => {
  await as(clerk, `POST ${inDefault}/roles`, role("small", [readPods]));
  const merge = { "content-type": "application/merge-patch+json" };
  const json = { "content-type": "application/json-patch+json" };
  const apply = { "content-type": "application/apply-patch+yaml" };
  const missing = '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}';
  const big = role("big", [readSecrets]);
  const answers = [
    await as(clerk, `POST ${inDefault}/roles`, big),
    await as(clerk, `POST ${inDefault}/roles?dryRun=All`, big),
    await as(clerk, `PUT ${inDefault}/roles/big`, big),
    await as(clerk, `PATCH ${inDefault}/roles/big?fieldManager=x&force=true`, big, apply),
    await as(clerk, `POST ${rbac}/clusterroles`, clusterRole("big", [readSecrets])),
    await as(clerk, `PUT ${inDefault}/roles/small`, role("small", [readSecrets])),
    await as(clerk, `PATCH ${inDefault}/roles/small`, { rules: [readSecrets] }, merge),
    await as(
      clerk,
      `PATCH ${inDefault}/roles/small`,
      [{ op: "add", path: "/rules/-", value: readSecrets }],
      json,
    ),
    await as(
      clerk,
      `PATCH ${inDefault}/roles/small?fieldManager=x&force=true`,
      role("small", [readSecrets]),
      apply,
    ),
  ];
  expect(answers.map(said)).toEqual([
    grantRefused("roles", "big", missing),
    grantRefused("roles", "big", missing),
    grantRefused("roles", "big", missing),
    grantRefused("roles", "big", missing),
    grantRefused("clusterroles", "big", missing),
    grantRefused("roles", "small", missing),
    grantRefused("roles", "small", missing),
    grantRefused("roles", "small", missing),
    grantRefused("roles", "small", missing),
  ]);
  expect((await admin("GET", `${inDefault}/roles/small`)).body["rules"]).toEqual([readPods] as never);
});

test.each<[string, object, string]>([
  ["all verbs", { ...readPods, verbs: ["*"] }, '{APIGroups:[""], Resources:["pods"], Verbs:["*"]}'],
  ["all groups", { ...readPods, apiGroups: ["*"] }, '{APIGroups:["*"], Resources:["pods"], Verbs:["get"]}'],
  ["all resources", { ...readPods, resources: ["*"] }, '{APIGroups:[""], Resources:["*"], Verbs:["get"]}'],
  [
    "a subresource",
    { ...readPods, resources: ["pods", "pods/exec"] },
    '{APIGroups:[""], Resources:["pods/exec"], Verbs:["get"]}',
  ],
  [
    "every log",
    { ...readPods, resources: ["*/log"] },
    '{APIGroups:[""], Resources:["*/log"], Verbs:["get"]}',
  ],
  [
    "several verbs",
    { ...readPods, verbs: ["get", "delete", "patch"] },
    '{APIGroups:[""], Resources:["pods"], Verbs:["delete" "patch"]}',
  ],
  [
    "a name",
    { ...readSecrets, resourceNames: ["one"] },
    '{APIGroups:[""], Resources:["secrets"], ResourceNames:["one"], Verbs:["get"]}',
  ],
])("API refuses a ClusterRole that gives %s its author does not have", async (_what, rule, missing) => {
  const made = await as(clerk, `POST ${rbac}/clusterroles`, clusterRole("wide", [rule]));
  expect(said(made)).toBe(grantRefused("clusterroles", "wide", missing));
});

test("API refuses URLs, an aggregation and more permissions than can be compared", async () => {
  const url = { verbs: ["get"], nonResourceURLs: ["/metrics"] };
  const sums = { aggregationRule: { clusterRoleSelectors: [{ matchLabels: { a: "b" } }] } };
  const many = Array.from({ length: 300 }, (_, index) => `r${index}`);
  const vast = { verbs: many, apiGroups: many, resources: many };
  const started = performance.now();
  const answers = [
    await as(clerk, `POST ${rbac}/clusterroles`, clusterRole("urls", [url])),
    await as(clerk, `POST ${rbac}/clusterroles`, clusterRole("sums", [], sums)),
    await as(clerk, `POST ${rbac}/clusterroles`, clusterRole("vast", [vast])),
    await as(clerk, `POST ${inDefault}/roles`, role("urls", [url])),
  ];
  expect(answers.map(said)).toEqual([
    grantRefused("clusterroles", "urls", '{NonResourceURLs:["/metrics"], Verbs:["get"]}'),
    `403 clusterroles.${group} "sums" is forbidden: must have cluster-admin privileges to use an aggregationRule`,
    "400 the rules hold too many permissions to be compared with yours",
    `422 Role.${group} "urls" is invalid: rules[0].nonResourceURLs: Invalid value: []string{"/metrics"}: namespaced rules cannot apply to non-resource URLs`,
  ]);
  expect(performance.now() - started).toBeLessThan(5000);
});

test("API refuses a binding to a role beyond its author's rights, and to none", async () => {
  await admin("POST", `${rbac}/clusterroles`, clusterRole("treasurer", [readSecrets]));
  const missing = '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}';
  const everywhere = { ...bindingTo("ClusterRole", "treasurer", "grab"), kind: "ClusterRoleBinding" };
  const answers = [
    await as(clerk, `POST ${inDefault}/rolebindings`, bindingTo("ClusterRole", "treasurer", "grab")),
    await as(clerk, `POST ${rbac}/clusterrolebindings`, everywhere),
    await as(clerk, `PUT ${inDefault}/rolebindings/grab`, bindingTo("ClusterRole", "treasurer", "grab")),
    await as(clerk, `POST ${inDefault}/rolebindings`, bindingTo("ClusterRole", "later", "grab")),
  ];
  expect(answers.map(said)).toEqual([
    grantRefused("rolebindings", "grab", missing),
    grantRefused("clusterrolebindings", "grab", missing),
    grantRefused("rolebindings", "grab", missing),
    `404 clusterroles.${group} "later" not found`,
  ]);
});

test("API lets an author grant the rights it has, and with escalate and bind more", async () => {
  const own = { verbs: ["get", "list"], apiGroups: [""], resources: ["pods"], resourceNames: ["web"] };
  expect((await as(clerk, `POST ${inDefault}/roles`, role("own", [own]))).status).toBe(201);
  expect((await as(clerk, `POST ${inDefault}/rolebindings`, bindingTo("Role", "own", "own"))).status).toBe(
    201,
  );
  const chief = await userWith("chief", [
    { verbs: ["create", "escalate"], apiGroups: [group], resources: ["roles"] },
    { verbs: ["create"], apiGroups: [group], resources: ["rolebindings"] },
    { verbs: ["bind"], apiGroups: [group], resources: ["clusterroles"], resourceNames: ["lent"] },
  ]);
  await admin("POST", `${rbac}/clusterroles`, clusterRole("lent", [readSecrets]));
  await admin("POST", `${rbac}/clusterroles`, clusterRole("kept", [readSecrets]));
  expect((await as(chief, `POST ${inDefault}/roles`, role("any", [readSecrets]))).status).toBe(201);
  expect(
    (await as(chief, `POST ${inDefault}/rolebindings`, bindingTo("ClusterRole", "lent", "lent"))).status,
  ).toBe(201);
  expect(
    (await as(chief, `POST ${inDefault}/rolebindings`, bindingTo("ClusterRole", "kept", "kept"))).status,
  ).toBe(403);
});

test("API lets an owner reference of a role change although its rules are beyond the author's rights", async () => {
  await admin("POST", `${inDefault}/roles`, role("owned", [readSecrets]));
  const patch = { metadata: { finalizers: ["example.com/keep"] } };
  const merge = { "content-type": "application/merge-patch+json" };
  expect((await as(clerk, `PATCH ${inDefault}/roles/owned`, patch, merge)).status).toBe(200);
  const labels = { metadata: { labels: { a: "b" } } };
  expect((await as(clerk, `PATCH ${inDefault}/roles/owned`, labels, merge)).status).toBe(403);
});

test("API refuses an apply or PUT that creates when only the verb for changes is held", async () => {
  const editor = await userWith("editor", [
    {
      verbs: ["get", "update", "patch"],
      apiGroups: ["", group],
      resources: ["configmaps", "endpoints", "roles"],
    },
  ]);
  const meta = { apiVersion: "v1", metadata: { name: "new", namespace: "default" } };
  const apply = { "content-type": "application/apply-patch+yaml" };
  const api = "/api/v1/namespaces/default";
  const answers = [
    await as(editor, `PATCH ${api}/configmaps/new?fieldManager=x`, { ...meta, kind: "ConfigMap" }, apply),
    await as(editor, `PUT ${api}/endpoints/new`, { ...meta, kind: "Endpoints" }),
    await as(editor, `PUT ${inDefault}/roles/new`, role("new", [])),
  ];
  expect(answers.map(said)).toEqual([
    expect.stringContaining('cannot create resource "configmaps" in API group ""'),
    expect.stringContaining('cannot create resource "endpoints" in API group ""'),
    expect.stringContaining(`cannot create resource "roles" in API group "${group}"`),
  ]);
});

test("API sums up the rules of the ClusterRoles an aggregated one selects", async () => {
  const watcher = await userWith("watcher", []);
  const selectors = [{ matchLabels: { "rbac.example.com/sum": "true" } }];
  const sums = clusterRole("summed", [], { aggregationRule: { clusterRoleSelectors: selectors } });
  await admin("POST", `${rbac}/clusterroles`, sums);
  const subjects = [{ kind: "ServiceAccount", name: "watcher", namespace: "default" }];
  await admin("POST", `${inDefault}/rolebindings`, {
    ...bindingTo("ClusterRole", "summed", "summed"),
    subjects,
  });
  expect((await as(watcher, "GET /api/v1/namespaces/default/pods/x")).status).toBe(403);
  const part = {
    ...clusterRole("part", [readPods]),
    metadata: { name: "part", labels: { "rbac.example.com/sum": "true" } },
  };
  await admin("POST", `${rbac}/clusterroles`, part);
  const rules = async (): Promise<unknown> =>
    (await admin("GET", `${rbac}/clusterroles/summed`)).body["rules"];
  await until("summed", async () => Bun.deepEquals(await rules(), [readPods]));
  expect((await as(watcher, "GET /api/v1/namespaces/default/pods/x")).status).toBe(404);
  await admin("DELETE", `${rbac}/clusterroles/part`);
  await until("empty", async () => (await rules()) === undefined);
  expect((await as(watcher, "GET /api/v1/namespaces/default/pods/x")).status).toBe(403);
});

test("API refuses impersonation headers without a user", async () => {
  const path = "/api/v1/namespaces";
  const answers = [
    await admin("GET", path, undefined, { "impersonate-group": "system:masters" }),
    await admin("GET", path, undefined, { "impersonate-uid": "1" }),
    await admin("GET", path, undefined, { "impersonate-extra-scopes": "all" }),
    await admin("GET", "/version", undefined, { "impersonate-group": "system:masters" }),
  ];
  expect(answers.map(said)).toEqual([
    '400 requested group "system:masters" without impersonating a user',
    '400 requested uid "1" without impersonating a user',
    '400 requested extra "scopes" without impersonating a user',
    '400 requested group "system:masters" without impersonating a user',
  ]);
});

test("API requires the right to each part of an impersonated user", async () => {
  const actor = await userWith("actor", [
    { verbs: ["impersonate"], apiGroups: [""], resources: ["users"], resourceNames: ["jane"] },
    { verbs: ["impersonate"], apiGroups: [""], resources: ["serviceaccounts"], resourceNames: ["helper"] },
    { verbs: ["impersonate"], apiGroups: [""], resources: ["groups"], resourceNames: ["dev"] },
    {
      verbs: ["impersonate"],
      apiGroups: ["authentication.k8s.io"],
      resources: ["userextras/scopes"],
      resourceNames: ["view"],
    },
    {
      verbs: ["impersonate"],
      apiGroups: ["authentication.k8s.io"],
      resources: ["uids"],
      resourceNames: ["7"],
    },
  ]);
  const who = async (headers: Record<string, string>): Promise<unknown> => {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
    const answer = await as(actor, "POST /apis/authentication.k8s.io/v1/selfsubjectreviews", body, headers);
    return answer.status === 201
      ? (answer.body["status"] as unknown as { userInfo: unknown }).userInfo
      : answer.body["message"];
  };
  expect([
    await who({
      "impersonate-user": "jane",
      "impersonate-group": "dev",
      "impersonate-uid": "7",
      "impersonate-extra-scopes": "view",
    }),
    await who({ "impersonate-user": "system:serviceaccount:default:helper" }),
    await who({ "impersonate-user": "jane", "impersonate-group": "system:masters" }),
    await who({ "impersonate-user": "jane", "impersonate-group": "dev, system:masters" }),
    await who({ "impersonate-user": "jane", "impersonate-extra-scopes": "edit" }),
    await who({ "impersonate-user": "jane", "impersonate-uid": "8" }),
    await who({ "impersonate-user": "system:serviceaccount:default:boss" }),
    await who({ "impersonate-user": "system:admin" }),
  ]).toEqual([
    { username: "jane", uid: "7", groups: ["dev", "system:authenticated"], extra: { scopes: ["view"] } },
    {
      username: "system:serviceaccount:default:helper",
      groups: ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
    },
    expect.stringContaining('cannot impersonate resource "groups"'),
    expect.stringContaining('cannot impersonate resource "groups"'),
    expect.stringContaining(
      'cannot impersonate resource "userextras/scopes" in API group "authentication.k8s.io"',
    ),
    expect.stringContaining('cannot impersonate resource "uids" in API group "authentication.k8s.io"'),
    expect.stringContaining(
      'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"',
    ),
    expect.stringContaining('cannot impersonate resource "users"'),
  ]);
  const anonymous = await admin(
    "POST",
    "/apis/authentication.k8s.io/v1/selfsubjectreviews",
    {},
    { "impersonate-user": "system:anonymous" },
  );
  expect(said(anonymous)).toContain(
    '403 selfsubjectreviews.authentication.k8s.io is forbidden: User "system:anonymous" cannot create',
  );
});

test("API lets users who may read one name list and watch that name alone", async () => {
  const reader = await userWith("reader", [
    {
      verbs: ["get", "list", "watch", "deletecollection"],
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: ["mine"],
    },
  ]);
  const api = "/api/v1/namespaces/default/configmaps";
  for (const name of ["mine", "theirs"])
    await admin("POST", api, { apiVersion: "v1", kind: "ConfigMap", metadata: { name } });
  const listed = await as(reader, `GET ${api}?fieldSelector=metadata.name%3Dmine`);
  expect(
    (listed.body["items"] as unknown as { metadata: { name: string } }[]).map(
      ({ metadata }) => metadata.name,
    ),
  ).toEqual(["mine"]);
  const refused = [
    api,
    `${api}?watch=1`,
    `${api}?fieldSelector=metadata.name%3Dtheirs`,
    `${api}?fieldSelector=metadata.name!%3Dmine`,
    `${api}?fieldSelector=metadata.namespace%3Ddefault`,
    `${api}?fieldSelector=metadata.name%3Dtheirs&fieldSelector=metadata.name%3Dmine`,
    `${api}/theirs`,
    `${api}/theirs?fieldSelector=metadata.name%3Dmine`,
    `${api}/theirs?watch=1&fieldSelector=metadata.name%3Dmine`,
  ];
  expect(await Promise.all(refused.map(async (path) => (await as(reader, `GET ${path}`)).status))).toEqual(
    refused.map(() => 403),
  );
  expect((await as(reader, `DELETE ${api}`)).status).toBe(403);
  expect((await as(reader, `DELETE ${api}?fieldSelector=metadata.name%3Dmine`)).status).toBe(200);
  expect((await admin("GET", `${api}/mine`)).status).toBe(404);
  expect((await admin("GET", `${api}/theirs`)).status).toBe(200);
});
