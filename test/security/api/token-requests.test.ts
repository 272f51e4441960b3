import { expect, test } from "bun:test";
import { RevisionStore } from "#cloud/kube-api/store";
import { TokenSigner } from "#cloud/kube-api/auth";
import {
  startTestServer,
  textAt,
  type Answer,
  type TestServer,
} from "#internal/test/support/cloud/api-server.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { join } from "node:path";

const api = "/api/v1/namespaces/default";
const issuer = "https://kubernetes.default.svc.cluster.local";

async function startWithAccount(dir: string): Promise<TestServer> {
  const server = await startTestServer(dir);
  const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "runner" } };
  await server.call("POST", `${api}/serviceaccounts`, account);
  return server;
}

function request(server: TestServer, spec: object, metadata: object = {}): Promise<Answer> {
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", metadata, spec };
  return server.call("POST", `${api}/serviceaccounts/runner/token`, body);
}

test("API refuses a token request when what it asks for cannot be", async () => {
  using dir = tempDir();
  await using server = await startWithAccount(dir.path);
  const pod = { apiVersion: "v1", kind: "Pod", metadata: { name: "web" } };
  const spec = { serviceAccountName: "other", containers: [{ name: "c", image: "i" }] };
  await server.call("POST", `${api}/serviceaccounts`, { metadata: { name: "other" } });
  await server.call("POST", `${api}/pods`, { ...pod, spec });
  const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "key" } };
  await server.call("POST", `${api}/secrets`, secret);
  const bound = (reference: object): Promise<Answer> =>
    request(server, { boundObjectRef: { apiVersion: "v1", ...reference } });
  const answers = [
    await request(server, { expirationSeconds: 599 }),
    await request(server, { expirationSeconds: "endless" }),
    await request(server, { expirationSeconds: 2 ** 33 }),
    await request(server, { audiences: [{ a: 1 }] }),
    await request(server, {}, { name: "somebody" }),
    await bound({ kind: "Pod", name: "web" }),
    await bound({ kind: "Pod", name: "none" }),
    await bound({ kind: "Secret", name: "key", uid: "wrong" }),
    await bound({ kind: "ConfigMap", name: "page" }),
    await bound({ kind: "toString", name: "page" }),
  ];
  expect(answers.map(({ status, body }) => `${status} ${textAt(body, "message")}`)).toEqual([
    '422 TokenRequest "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes',
    '422 TokenRequest "" is invalid: spec.expirationSeconds: Invalid value: "endless": must be a whole number',
    '422 TokenRequest "" is invalid: spec.expirationSeconds: Invalid value: 8589934592: may not specify a duration larger than 2^32 seconds',
    '422 TokenRequest "" is invalid: spec.audiences: Invalid value: {"a":1}: must be a string',
    '422 TokenRequest "" is invalid: metadata.name: Invalid value: "somebody": must match the service account name runner',
    '400 cannot bind token for serviceaccount "runner" to pod running with different serviceaccount name.',
    '404 pods "none" not found',
    expect.stringMatching(
      /^409 .*the UID in the bound object reference \(wrong\) does not match the UID in record/,
    ),
    '400 cannot bind token for serviceaccount "runner" to object of type v1, Kind=ConfigMap',
    '400 cannot bind token for serviceaccount "runner" to object of type v1, Kind=toString',
  ]);
});

test("API refuses a token when the Secret it is bound to is deleted", async () => {
  using dir = tempDir();
  await using server = await startWithAccount(dir.path);
  await server.call("POST", `${api}/secrets`, {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "key" },
  });
  const boundObjectRef = { apiVersion: "v1", kind: "Secret", name: "key" };
  const { body } = await request(server, { boundObjectRef });
  const authorization = `Bearer ${textAt(body, "status", "token")}`;
  const status = async (): Promise<number> =>
    (await server.call("GET", `${api}/pods`, undefined, { authorization })).status;
  expect(await status()).toBe(403);
  await server.call("DELETE", `${api}/secrets/key`);
  expect(await status()).toBe(401);
});

test("API accepts the token of a pod that is being deleted for one minute past its grace period", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using server = await startTestServer(dir.path, { clock });
  const make = (plural: string, object: object): Promise<Answer> =>
    server.call("POST", `${api}/${plural}`, { apiVersion: "v1", ...object });
  await make("serviceaccounts", { kind: "ServiceAccount", metadata: { name: "runner" } });
  const spec = { serviceAccountName: "runner", nodeName: "e1", containers: [{ name: "c", image: "i" }] };
  await make("pods", { kind: "Pod", metadata: { name: "web" }, spec });
  const { body } = await request(server, { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "web" } });
  const authorization = `Bearer ${textAt(body, "status", "token")}`;
  const status = async (): Promise<number> =>
    (await server.call("GET", `${api}/pods`, undefined, { authorization })).status;
  await server.call("DELETE", `${api}/pods/web?gracePeriodSeconds=30`);
  await clock.advance(89_000);
  expect(await status()).toBe(403);
  await clock.advance(2000);
  expect(await status()).toBe(401);
});

test("API ends a watch with the token it was begun with, however long it was to last", async () => {
  using dir = tempDir();
  const clock = new FakeClock();
  await using server = await startTestServer(dir.path, { clock });
  const make = (path: string, object: object): Promise<Answer> => server.call("POST", path, object);
  await make(`${api}/serviceaccounts`, {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "runner" },
  });
  const rbac = { apiVersion: "rbac.authorization.k8s.io/v1", metadata: { name: "watcher" } };
  const rules = [{ verbs: ["watch"], apiGroups: [""], resources: ["pods"] }];
  const path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  await make(`${path}/roles`, { ...rbac, kind: "Role", rules });
  const subjects = [{ kind: "ServiceAccount", name: "runner", namespace: "default" }];
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "watcher" };
  await make(`${path}/rolebindings`, { ...rbac, kind: "RoleBinding", subjects, roleRef });
  const { body } = await request(server, { expirationSeconds: 600 });
  const authorization = `Bearer ${textAt(body, "status", "token")}`;
  const url = `${server.api.url}${api}/pods?watch=1&timeoutSeconds=100000`;
  const watch = await fetch(url, { headers: { authorization }, tls: { rejectUnauthorized: false } });
  const ended = watch.text();
  await clock.advance(601_000);
  expect(await ended).toBe("\n");
});

test("API reports that the administrator's token is for another audience when asked for one", async () => {
  using dir = tempDir();
  await using server = await startTestServer(dir.path);
  const spec = { token: "admin-token-of-the-test", audiences: ["vault"] };
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec };
  const { body: answer } = await server.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body);
  expect(answer["status"]).toMatchObject({ error: "[invalid bearer token, token lookup failed]" });
});

test("API accepts a long-lived token after restarts when an operator created it", async () => {
  using dir = tempDir();
  const tokens: string[] = [];
  for (let start = 0; start < 3; start += 1) {
    await using server = await startWithAccount(dir.path);
    const { body } = await request(server, { expirationSeconds: 4_000_000 });
    tokens.push(textAt(body, "status", "token"));
    const statuses = await Promise.all(
      tokens.map(async (token) => {
        const headers = { authorization: `Bearer ${token}` };
        return (await server.call("GET", `${api}/pods`, undefined, headers)).status;
      }),
    );
    expect(statuses).toEqual(tokens.map(() => 403));
  }
});

/** After a crash between the two writes of the change of keys, too. */
test.each([false, true])(
  "API refuses tokens without expiry when it opens an old database, half converted: %p",
  async (half) => {
    using dir = tempDir();
    const key = TokenSigner.newKey();
    {
      await using store = new RevisionStore({
        path: join(dir.path, "cloudcore.db"),
        historyRevisions: 10_000,
        onError: (error) => {
          throw error;
        },
      });
      store.saveSetting("service-account-key", key);
      if (half) store.saveSetting("service-account-key-retired", TokenSigner.publicKeyOf(key));
    }
    await using server = await startWithAccount(dir.path);
    const { body } = await server.call("GET", `${api}/serviceaccounts/runner`);
    const uid = textAt(body, "metadata", "uid");
    const iat = Math.floor(Date.now() / 1000);
    const status = async (seconds: number): Promise<number> => {
      const token = new TokenSigner(key).sign({
        iss: issuer,
        aud: [issuer],
        sub: "system:serviceaccount:default:runner",
        iat,
        nbf: iat,
        exp: iat + seconds,
        jti: "1",
        "kubernetes.io": { namespace: "default", serviceaccount: { name: "runner", uid } },
      });
      return (await server.call("GET", `${api}/pods`, undefined, { authorization: `Bearer ${token}` }))
        .status;
    };
    expect([await status(3600), await status(4_294_967_296)]).toEqual([403, 401]);
  },
);
