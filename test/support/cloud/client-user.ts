import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "#internal/scripts/service.ts";
import type { Answer } from "./api-server.ts";
import type { WiredCloud } from "./wired-cloud.ts";

/** Files of a user whose key openssl made. */
export interface ClientUser {
  readonly keyFile: string;
  readonly certFile: string;
  /** The name of the user's request. */
  readonly request: string;
}

export function openssl(folder: string, ...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["openssl", ...args], { cwd: folder });
  if (exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

/** A new key and a PEM request for a certificate, `subject` as openssl writes it: `/O=developers/CN=jane`. */
export function makeRequest(
  folder: string,
  subject: string,
  more: readonly string[] = [],
): { keyFile: string; pem: string } {
  const name = crypto.randomUUID();
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const files = ["-keyout", `${name}.key`, "-out", `${name}.csr`];
  openssl(folder, "req", "-new", ...curve, ...files, "-subj", subject, ...more);
  return { keyFile: join(folder, `${name}.key`), pem: readFileSync(join(folder, `${name}.csr`), "utf8") };
}

export const signingPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

export function signingRequest(name: string, pem: string, spec: object = {}): object {
  return {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name },
    spec: {
      request: Buffer.from(pem).toString("base64"),
      signerName: "kubernetes.io/kube-apiserver-client",
      usages: ["client auth"],
      ...spec,
    },
  };
}

/** Adds a condition to the request, as `kubectl certificate` does. */
export async function decide(
  call: WiredCloud["call"],
  name: string,
  type: "Approved" | "Denied",
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { body } = await call("GET", `${signingPath}/${name}`);
  const condition = { type, status: "True", reason: "Test", message: "by a test" };
  const decided = { ...body, status: { conditions: [condition] } };
  return call("PUT", `${signingPath}/${name}/approval`, decided, headers);
}

/** The request once its signer has signed or failed it. */
export async function settledRequest(call: WiredCloud["call"], name: string): Promise<SettledStatus> {
  return eventually(60_000, async () => {
    const { body } = await call("GET", `${signingPath}/${name}`);
    const status = body["status"] as unknown as Partial<SettledStatus>;
    const { certificate = "", conditions = [] } = status;
    if (certificate === "" && !conditions.some(({ type }) => type === "Failed"))
      throw new Error(`request ${name} is neither signed nor failed`);
    return { certificate, conditions };
  });
}

interface SettledStatus {
  /** PEM in base64, "" without one */
  readonly certificate: string;
  readonly conditions: readonly { readonly type: string; readonly message: string }[];
}

/** A user with a certificate that was requested, approved and issued. */
export async function makeUser(cloud: WiredCloud, folder: string, subject: string): Promise<ClientUser> {
  const { keyFile, pem } = makeRequest(folder, subject);
  const request = `user-${crypto.randomUUID()}`;
  await cloud.call("POST", signingPath, signingRequest(request, pem));
  await decide(cloud.call, request, "Approved");
  const { certificate } = await settledRequest(cloud.call, request);
  const certFile = keyFile.replace(/key$/, "crt");
  writeFileSync(certFile, Buffer.from(certificate, "base64"));
  return { keyFile, certFile, request };
}
