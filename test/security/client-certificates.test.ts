import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WebSocket } from "ws";
import { createAuthority, loadAuthority, type Authority, type IssueOptions, type KeyPair } from "#shared/pki";
import type { Answer } from "#internal/test/support/cloud/api-server.ts";
import {
  decide,
  makeRequest,
  makeUser,
  settledRequest,
  signingPath,
  signingRequest,
} from "#internal/test/support/cloud/client-user.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startWiredCloud, type WiredCloud } from "#internal/test/support/cloud/wired-cloud.ts";

setDefaultTimeout(60_000);
const available = needsCommands("openssl");
const review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const rbac = "/apis/rbac.authorization.k8s.io/v1";

describe.skipIf(!available)("client certificates", () => {
  const dir = tempDir("client-attacks");
  let cloud: WiredCloud;
  let clients: Authority;
  let token: string;

  async function authorityAt(path: string): Promise<Authority> {
    const file = (name: string): string => readFileSync(join(cloud.dataDir, path, "ca", name), "utf8");
    return loadAuthority({ cert: file("rootCA.crt"), key: file("rootCA.key") });
  }

  const issue = (by: Authority, more: Partial<IssueOptions> = {}): Promise<KeyPair> =>
    by.issue({ subject: { commonName: "mallory" }, usage: "client", days: 1, nowMs: Date.now(), ...more });

  /** Who the API takes the holder of a certificate for; the status of a refusal. */
  async function whoIs(pair: KeyPair | undefined, headers: Record<string, string> = {}): Promise<unknown> {
    const response = await fetch(`${cloud.url}${review}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" }),
      tls: { rejectUnauthorized: false, ...(pair && { cert: pair.cert, key: pair.key }) },
      keepalive: false,
    });
    const { status } = (await response.json()) as {
      status: { userInfo: { username: string; groups: string[] } };
    };
    return response.ok ? [status.userInfo.username, ...status.userInfo.groups] : response.status;
  }

  beforeAll(async () => {
    cloud = await startWiredCloud();
    // From the first certificate on, connections are asked for one.
    await makeUser(cloud, dir.path, "/CN=first");
    clients = await authorityAt("embedded/clients");
    token = readFileSync(join(cloud.dataDir, "embedded/admin-token"), "utf8").trim();
  });
  afterAll(async () => {
    await cloud[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  test("of the right CA are a user, which shows that those below are refused for what they are", async () => {
    expect(await whoIs(await issue(clients))).toEqual(["mallory", "system:authenticated"]);
    expect(await whoIs(undefined)).toBe(403);
  });

  test("of another CA, of nodes, of servers, expired or not valid yet are none", async () => {
    const other = await createAuthority({ commonName: "KubeEdge API clients", days: 1, nowMs: Date.now() });
    const longAgo = Date.now() - 10 * 86_400_000;
    const masters = { commonName: "mallory", organizations: ["system:masters"] };
    const pairs = {
      other: await issue(other, { subject: masters }),
      node: await issue(await authorityAt("."), {
        subject: { commonName: "system:node:edge-1", organizations: ["system:nodes"] },
      }),
      api: await issue(await authorityAt("embedded"), { subject: masters }),
      proxy: await issue(await authorityAt("embedded/proxy"), {
        subject: { commonName: "front-proxy-client" },
      }),
      server: await issue(clients, { usage: "server", hosts: ["localhost"] }),
      expired: await issue(clients, { nowMs: longAgo }),
      early: await issue(clients, { nowMs: Date.now() + 2 * 86_400_000 }),
    };
    const forged = { "x-remote-user": "kubernetes-admin", "x-remote-group": "system:masters" };
    for (const [what, pair] of Object.entries(pairs)) {
      expect([what, await whoIs(pair, forged)]).toEqual([what, 401]);
      const authorization = `Bearer ${token}`;
      expect([what, await whoIs(pair, { authorization })]).toEqual([
        what,
        ["kubernetes-admin", "system:masters", "system:authenticated"],
      ]);
    }
  });

  test("that are refused are logged with whom they name and why, once a minute each", async () => {
    const other = await createAuthority({ commonName: "KubeEdge API clients", days: 1, nowMs: Date.now() });
    const named = (commonName: string, more: Partial<IssueOptions> = {}): Promise<KeyPair> =>
      issue(clients, { subject: { commonName }, ...more });
    const pairs = [
      await issue(other, { subject: { commonName: "stranger" } }),
      await named("late", { nowMs: Date.now() - 10 * 86_400_000 }),
      await named("early", { nowMs: Date.now() + 2 * 86_400_000 }),
      await named("server", { usage: "server", hosts: ["localhost"] }),
      await named("good"),
    ];
    for (const pair of [...pairs, ...pairs]) await whoIs(pair);
    const lines = cloud.log.lines
      .map((line) => JSON.parse(line) as { msg: string; user?: string; problem?: string })
      .filter(({ msg, user }) => msg === "a client certificate is not valid" && user !== "mallory");
    const problems = new Map(lines.map(({ user, problem }) => [user, problem]));
    const notOurs = "it is not of the client CA of this API, or not for clients";
    expect(problems.get("stranger")).toBe(notOurs);
    expect(problems.get("server")).toBe(notOurs);
    expect(problems.get("late")).toMatch(/^it expired at 20\d\d-\d\d-\d\dT[\d:.]+Z$/);
    expect(problems.get("early")).toMatch(/^it is not valid before 20\d\d-\d\d-\d\dT[\d:.]+Z$/);
    expect(problems.has("good")).toBe(false);
    for (const user of ["stranger", "server", "late", "early"])
      expect([user, lines.filter((line) => line.user === user).length]).toEqual([user, 1]);
  });

  test("give no group that is only written in a name", async () => {
    const names = ["x\nO=system:masters", "x,O=system:masters", "x+O=system:masters", "x/O=system:masters"];
    for (const commonName of names) {
      const pair = await issue(clients, { subject: { commonName } }).catch(() => undefined);
      const user = pair && (await whoIs(pair));
      expect(JSON.stringify(user ?? [])).not.toMatch(/"system:masters"/);
    }
  });

  test("and header fields of a proxy do not make a user another one", async () => {
    const headers = {
      "x-remote-user": "kubernetes-admin",
      "x-remote-group": "system:masters",
      "x-remote-extra-a": "b",
    };
    expect(await whoIs(await issue(clients), headers)).toEqual(["mallory", "system:authenticated"]);
  });

  test("of users do not open CloudHub, for any node", async () => {
    const ca = readFileSync(join(cloud.dataDir, "ca/rootCA.crt"), "utf8");
    const subject = { commonName: "system:node:edge-1", organizations: ["system:nodes"] };
    const pair = await issue(clients, { subject });
    const url = `wss://127.0.0.1:${cloud.ports.get("cloudhub") ?? 0}/e632aba927ea4ac2b575ec1603d56f10/edge-1/events`;
    const socket = new WebSocket(url, { ca, ...pair, headers: { node_id: "edge-1" } });
    const outcome = await new Promise<string>((resolve) => {
      socket.once("open", () => resolve("open"));
      socket.once("error", () => resolve("refused"));
    });
    socket.terminate();
    expect(outcome).toBe("refused");
  });

  describe("requests for them", () => {
    const user = { "impersonate-user": "mallory", "impersonate-group": "mallories" };

    beforeAll(async () => {
      const rules = [
        {
          apiGroups: ["certificates.k8s.io"],
          resources: [
            "certificatesigningrequests",
            "certificatesigningrequests/approval",
            "certificatesigningrequests/status",
          ],
          verbs: ["create", "get", "update", "patch"],
        },
        {
          apiGroups: ["certificates.k8s.io"],
          resources: ["signers"],
          resourceNames: ["example.com/*"],
          verbs: ["approve", "sign"],
        },
      ];
      const name = "requests";
      await cloud.call("POST", `${rbac}/clusterroles`, { metadata: { name }, rules });
      await cloud.call("POST", `${rbac}/clusterrolebindings`, {
        metadata: { name },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "mallory" }],
      });
    });

    const request = async (
      name: string,
      subject: string,
      spec: object = {},
      headers: Record<string, string> = user,
    ): Promise<Answer> =>
      cloud.call(
        "POST",
        signingPath,
        signingRequest(name, makeRequest(dir.path, subject).pem, spec),
        headers,
      );

    test("of administrators are refused for all users, however the group is written", async () => {
      for (const subject of [
        "/O=system:masters/CN=a",
        "/O=x/O=system:masters/CN=a",
        "/CN=a/O=system:masters",
      ])
        expect(await request("masters", subject, {}, {})).toMatchObject({
          status: 403,
          body: { message: expect.stringContaining("signer with system:masters group is not allowed") },
        });
    });

    test("name who asks, whatever they say", async () => {
      const spec = {
        username: "kubernetes-admin",
        groups: ["system:masters"],
        uid: "1",
        extra: { a: ["b"] },
      };
      expect((await request("named", "/CN=a", spec)).body["spec"]).toMatchObject({
        username: "mallory",
        groups: ["mallories", "system:authenticated"],
      });
      const { body } = await cloud.call("GET", `${signingPath}/named`);
      expect([body["spec"]?.["uid"], body["spec"]?.["extra"]]).toEqual([undefined, undefined]);
    });

    test("are approved and signed by those alone who may do so for the signer", async () => {
      await request("mine", "/CN=a");
      expect(await decide(cloud.call, "mine", "Approved", user)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining("user not permitted to approve requests with signerName") },
      });
      const merge = { ...user, "content-type": "application/merge-patch+json" };
      const signed = { status: { certificate: Buffer.from(clients.certPem).toString("base64") } };
      expect(await cloud.call("PATCH", `${signingPath}/mine/status`, signed, merge)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining("user not permitted to sign requests with signerName") },
      });
      await request("theirs", "/CN=a", { signerName: "example.com/s" });
      expect(await decide(cloud.call, "theirs", "Approved", user)).toMatchObject({ status: 200 });
      expect(await cloud.call("PATCH", `${signingPath}/theirs/status`, signed, merge)).toMatchObject({
        status: 200,
      });
    });

    test("do not change their signer or key once they are there, and decisions are final", async () => {
      await request("fixed", "/CN=a", { signerName: "example.com/s" });
      const merge = { ...user, "content-type": "application/merge-patch+json" };
      for (const spec of [{ signerName: "kubernetes.io/kube-apiserver-client" }, { usages: ["server auth"] }])
        expect(await cloud.call("PATCH", `${signingPath}/fixed`, { spec }, merge)).toMatchObject({
          status: 422,
        });
      await decide(cloud.call, "fixed", "Denied", user);
      const approve = { status: { conditions: [{ type: "Approved", status: "True", reason: "r" }] } };
      expect(await cloud.call("PATCH", `${signingPath}/fixed/approval`, approve, merge)).toMatchObject({
        status: 422,
      });
      const both = await decide(cloud.call, "fixed", "Approved", user);
      expect(both).toMatchObject({ status: 422 });
    });

    test("that ask a signer for more than it gives fail, and legacy-unknown signs nothing", async () => {
      const node = "/O=system:nodes/CN=system:node:edge-1";
      const kubelet = "kubernetes.io/kube-apiserver-client-kubelet";
      const both = ["digital signature", "client auth"];
      const cases: [subject: string, spec: object, message: string][] = [
        [
          "/CN=a",
          { usages: ["client auth", "server auth"] },
          "invalid usage for client certificate: server auth",
        ],
        [
          "/CN=a",
          { usages: ["digital signature"] },
          "missing required usage for client certificate: client auth",
        ],
        [
          "/O=x/CN=system:node:edge-1",
          { signerName: kubelet, usages: both },
          "subject organization is not system:nodes",
        ],
        [
          `${node}/O=system:masters`,
          { signerName: kubelet, usages: both },
          "subject organization is not system:nodes",
        ],
        [
          "/O=system:nodes/CN=admin",
          { signerName: kubelet, usages: both },
          "subject common name does not begin with system:node: ",
        ],
        [
          node,
          { signerName: "kubernetes.io/kubelet-serving", usages: ["server auth"] },
          "DNS or IP subjectAltName is required",
        ],
      ];
      for (const [index, [subject, spec, message]] of cases.entries()) {
        const name = `more-${index}`;
        await request(name, subject, spec);
        await decide(cloud.call, name, "Approved");
        expect(await settledRequest(cloud.call, name)).toMatchObject({
          certificate: "",
          conditions: [{ type: "Approved" }, { type: "Failed", message }],
        });
      }
      await request("legacy", "/CN=a", { signerName: "kubernetes.io/legacy-unknown" });
      await decide(cloud.call, "legacy", "Approved");
      // A later request is signed: the signer has passed this one.
      await makeUser(cloud, dir.path, "/CN=later");
      const { body } = await cloud.call("GET", `${signingPath}/legacy`);
      expect(body["status"]?.["certificate"]).toBeUndefined();
    });

    test("for a server give no certificate that a client can use", async () => {
      const { keyFile, pem } = makeRequest(dir.path, "/O=system:nodes/CN=system:node:edge-1", [
        "-addext",
        "subjectAltName=DNS:edge-1",
      ]);
      const spec = {
        signerName: "kubernetes.io/kubelet-serving",
        usages: ["digital signature", "key encipherment", "server auth"],
      };
      await cloud.call("POST", signingPath, signingRequest("serving", pem, spec), user);
      await decide(cloud.call, "serving", "Approved");
      const { certificate } = await settledRequest(cloud.call, "serving");
      const cert = Buffer.from(certificate, "base64").toString("utf8");
      expect(await whoIs({ cert, key: readFileSync(keyFile, "utf8") })).toBe(401);
    });

    test("last as long as they ask for, ten minutes at least and a year at most", async () => {
      expect(await request("short", "/CN=a", { expirationSeconds: 599 })).toMatchObject({ status: 422 });
      const seconds = async (name: string, expirationSeconds: number): Promise<number> => {
        await request(name, "/CN=a", { expirationSeconds });
        await decide(cloud.call, name, "Approved");
        const { certificate } = await settledRequest(cloud.call, name);
        const pem = Buffer.from(certificate, "base64").toString("utf8");
        const { validFrom, validTo } = new X509Certificate(pem);
        return (Date.parse(validTo) - Date.parse(validFrom)) / 1000 - 300;
      };
      expect(await seconds("ten-minutes", 600)).toBe(600);
      expect(await seconds("ten-years", 315_360_000)).toBe(31_536_000);
    });
  });
});
