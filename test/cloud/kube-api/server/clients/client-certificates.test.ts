import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeUser, makeRequest, type ClientUser } from "#internal/test/support/cloud/client-user.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { startWiredCloud, type WiredCloud } from "#internal/test/support/cloud/wired-cloud.ts";

setDefaultTimeout(60_000);
const available = needsCommands("kubectl", "openssl");

interface Run {
  readonly out: string;
  readonly problems: string;
  readonly code: number;
}

describe.skipIf(!available)("client certificates", () => {
  const dir = tempDir("client-certificates");
  let cloud: WiredCloud;
  let admin: string;

  async function kubectl(kubeconfig: string, ...args: readonly string[]): Promise<Run> {
    const child = Bun.spawn(["kubectl", "--kubeconfig", kubeconfig, ...args], {
      env: { ...process.env, HOME: dir.path },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, problems, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { out: out.trim(), problems: problems.trim(), code };
  }

  async function kubeconfigOf(user: object): Promise<string> {
    const file = join(dir.path, `${crypto.randomUUID()}.yaml`);
    const parsed = Bun.YAML.parse(readFileSync(admin, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...parsed, users: [{ name: "admin", user }] }));
    return file;
  }

  const certificateOf = ({ certFile, keyFile }: ClientUser): object => ({
    "client-certificate": certFile,
    "client-key": keyFile,
  });

  beforeAll(async () => {
    cloud = await startWiredCloud();
    admin = join(cloud.dataDir, "kubeconfig");
  });
  afterAll(async () => {
    await cloud[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  test("a user is requested, approved, bound to a role and works with kubectl", async () => {
    const { keyFile, pem } = makeRequest(dir.path, "/O=developers/O=operators/CN=jane");
    const manifest = join(dir.path, "csr.yaml");
    const request = Buffer.from(pem).toString("base64");
    const spec = { request, signerName: "kubernetes.io/kube-apiserver-client", usages: ["client auth"] };
    const head = { apiVersion: "certificates.k8s.io/v1", kind: "CertificateSigningRequest" };
    writeFileSync(manifest, JSON.stringify({ ...head, metadata: { name: "jane" }, spec }));
    expect(await kubectl(admin, "create", "-f", manifest)).toMatchObject({ code: 0 });
    expect((await kubectl(admin, "get", "csr", "jane", "--no-headers")).out).toContain("Pending");
    expect(await kubectl(admin, "certificate", "approve", "jane")).toMatchObject({ code: 0 });
    const issued = "jsonpath={.status.certificate}";
    await kubectl(admin, "wait", "csr/jane", `--for=${issued}`, "--timeout=60s");
    expect((await kubectl(admin, "get", "csr", "jane", "--no-headers")).out).toContain("Approved,Issued");
    const { out } = await kubectl(admin, "get", "csr", "jane", "-o", issued);
    const certFile = join(dir.path, "jane.crt");
    writeFileSync(certFile, Buffer.from(out, "base64"));
    const jane = await kubeconfigOf({ "client-certificate": certFile, "client-key": keyFile });
    const { status } = JSON.parse((await kubectl(jane, "auth", "whoami", "-o", "json")).out) as {
      status: object;
    };
    expect(status).toMatchObject({
      userInfo: { username: "jane", groups: ["developers", "operators", "system:authenticated"] },
    });
    const refused = await kubectl(jane, "get", "configmaps");
    expect(refused.problems).toContain('User "jane" cannot list resource "configmaps"');
    const binding = ["create", "rolebinding", "developers", "--clusterrole=edit", "--group=developers"];
    expect(await kubectl(admin, ...binding)).toMatchObject({ code: 0 });
    expect(await kubectl(jane, "create", "configmap", "mine", "--from-literal=a=b")).toMatchObject({
      code: 0,
    });
    expect(await kubectl(jane, "get", "secrets", "-A")).toMatchObject({ code: 1 });
  });

  test("a certificate comes before a token, and connections without one go on as before", async () => {
    const user = await makeUser(cloud, dir.path, "/CN=john");
    const who = async (config: object): Promise<string> =>
      (
        await kubectl(
          await kubeconfigOf(config),
          "auth",
          "whoami",
          "-o",
          "jsonpath={.status.userInfo.username}",
        )
      ).out;
    const { users } = Bun.YAML.parse(readFileSync(admin, "utf8")) as { users: { user: { token: string } }[] };
    const token = users[0]?.user.token ?? "";
    expect(await who({ ...certificateOf(user), token })).toBe("john");
    expect(await who({ ...certificateOf(user), token: "wrong" })).toBe("john");
    expect(await who({ token })).toBe("kubernetes-admin");
  });

  test("requests of one connection are all of its user, and impersonate with the user's rights", async () => {
    const user = await makeUser(cloud, dir.path, "/CN=keep");
    const init = {
      tls: { rejectUnauthorized: false, cert: Bun.file(user.certFile), key: Bun.file(user.keyFile) },
    } as BunFetchRequestInit;
    const self = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
    const whoami = async (headers: Record<string, string> = {}): Promise<unknown> => {
      const response = await fetch(`${cloud.url}/apis/authentication.k8s.io/v1/selfsubjectreviews`, {
        ...init,
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: JSON.stringify(self),
      });
      const body = (await response.json()) as {
        status: { userInfo?: { username: string } };
        message?: string;
      };
      return body.status.userInfo?.username ?? body.message;
    };
    const answers = await Promise.all(Array.from({ length: 20 }, () => whoami()));
    expect(new Set(answers)).toEqual(new Set(["keep"]));
    expect(await whoami({ "impersonate-user": "other" })).toContain(
      'User "keep" cannot impersonate resource "users"',
    );
  });
});
