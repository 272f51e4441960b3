import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureCertificates } from "#cloud/cloud-hub/certificates";
import { createNodeRequest, fromPem, readCertificate, toPem } from "#shared/pki";
import { makeJoinToken } from "#internal/test/support/cloud/join-token.ts";
import { clientPair, startHarness, type Harness } from "./hub-harness.ts";

async function curl(
  harness: Harness,
  path: string,
  ...more: string[]
): Promise<{ code: number; body: Buffer }> {
  writeFileSync(join(harness.dir, "ca.pem"), harness.authority.certPem);
  const out = join(harness.dir, "answer");
  const url = `https://127.0.0.1:${harness.hub.httpsPort}${path}`;
  const command = [
    "curl",
    "-s",
    "--http1.1",
    "--cacert",
    join(harness.dir, "ca.pem"),
    "-o",
    out,
    "-w",
    "%{http_code}",
  ];
  const child = Bun.spawn([...command, ...more, url], { stdout: "pipe" });
  const code = Number(await new Response(child.stdout).text());
  return { code, body: readFileSync(out) };
}

async function ask(harness: Harness, ...headers: string[]): Promise<{ code: number; body: Buffer }> {
  const { der } = await createNodeRequest("edge-1");
  const file = join(harness.dir, "request.der");
  writeFileSync(file, der);
  return curl(
    harness,
    "/edge.crt",
    "-X",
    "GET",
    "--data-binary",
    `@${file}`,
    "-H",
    "NodeName: edge-1",
    ...headers,
  );
}

async function bearer(harness: Harness, expiresMs = Date.now() + 60_000): Promise<string[]> {
  const { jwt } = await makeJoinToken(harness.kube, harness.authority, { expiresMs });
  return ["-H", `Authorization: Bearer ${jwt}`];
}

describe("cloudhub enrollment", () => {
  test("the CA is served as DER", async () => {
    await using harness = await startHarness();
    const { code, body } = await curl(harness, "/ca.crt");
    expect(code).toBe(200);
    expect(new Uint8Array(body)).toEqual(new Uint8Array(harness.authority.certDer));
  });

  test("a token gets a certificate that names the node", async () => {
    await using harness = await startHarness();
    const { code, body } = await ask(harness, ...(await bearer(harness)));
    expect(code).toBe(200);
    const info = readCertificate(new Uint8Array(body));
    expect([info.commonName, info.organizations]).toEqual(["system:node:edge-1", ["system:nodes"]]);
    expect(Math.round((info.notAfterMs - Date.now()) / 86_400_000)).toBe(365);
  });

  test("a missing, an expired and a foreign token are distinguished", async () => {
    await using harness = await startHarness();
    await using foreign = await startHarness();
    const answers = [
      await ask(harness),
      await ask(harness, ...(await bearer(harness, Date.now() - 1000))),
      await ask(harness, ...(await bearer(foreign))),
    ];
    expect(answers.map(({ code, body }) => [code, body.toString().trim()])).toEqual([
      [401, "join token: expected the header Authorization: Bearer <token>"],
      [401, "join token: expired; print another one in the cloud: cloudcore token create"],
      [401, "join token: not made by this cloud; print another one in the cloud: cloudcore token create"],
    ]);
  });

  test("a certificate renews itself and no other node's", async () => {
    await using harness = await startHarness();
    const codes: number[] = [];
    for (const node of ["edge-1", "edge-2"]) {
      const pair = await clientPair(harness.authority, `system:node:${node}`);
      writeFileSync(join(harness.dir, "c.crt"), pair.cert);
      writeFileSync(join(harness.dir, "c.key"), pair.key);
      const answer = await ask(
        harness,
        "--cert",
        join(harness.dir, "c.crt"),
        "--key",
        join(harness.dir, "c.key"),
      );
      codes.push(answer.code);
    }
    expect(codes).toEqual([200, 401]);
  });

  test("bad requests are refused", async () => {
    await using harness = await startHarness();
    const big = join(harness.dir, "big");
    writeFileSync(big, Buffer.alloc(64 * 1024 + 1));
    const token = await bearer(harness);
    const send = (...more: string[]): ReturnType<typeof curl> =>
      curl(harness, "/edge.crt", "-X", "GET", ...more, ...token);
    const codes = [
      (await send("-H", "NodeName: edge-1", "--data-binary", "nonsense")).code,
      (await send("-H", "NodeName: Bad_Name", "--data-binary", "nonsense")).code,
      (await send("-H", "NodeName: edge-1", "--data-binary", `@${big}`)).code,
      (await curl(harness, "/elsewhere")).code,
      (await curl(harness, "/ca.crt", "-X", "POST", "-d", "x")).code,
    ];
    expect(codes).toEqual([400, 400, 413, 404, 405]);
  });
});

describe("certificates", () => {
  test("they are kept, and the server's is made again when a host is missing or it ends", async () => {
    await using harness = await startHarness();
    const options = { dataDir: harness.dir, nowMs: Date.now() };
    const first = await ensureCertificates(options);
    const same = await ensureCertificates(options);
    expect(same.serverCert).toBe(first.serverCert);
    const named = await ensureCertificates({ ...options, advertise: ["cloud.example", "fd00::1"] });
    expect(named.serverCert).not.toBe(first.serverCert);
    expect(readCertificate(named.serverCert).hosts).toContain("cloud.example");
    const kept = await ensureCertificates({ ...options, advertise: ["cloud.example", "fd00::1"] });
    expect(kept.serverCert).toBe(named.serverCert);
    const late = await ensureCertificates({ ...options, nowMs: options.nowMs + 3640 * 86_400_000 });
    expect(late.serverCert).not.toBe(named.serverCert);
    expect(late.caPem).toBe(first.caPem);
    expect(statSync(join(harness.dir, "ca/rootCA.key")).mode & 0o777).toBe(0o600);
  });

  test("files from outside are used, and a wrong key is an error", async () => {
    await using harness = await startHarness();
    const at = (name: string): string => join(harness.dir, name);
    const files = { certFile: at("certs/server.crt"), keyFile: at("certs/server.key") };
    const options = { dataDir: at("none"), nowMs: Date.now(), caFile: at("ca/rootCA.crt"), ...files };
    const found = await ensureCertificates(options);
    expect(found.authority).toBeUndefined();
    expect(toPem(fromPem(found.caPem) ?? new Uint8Array(), "CERTIFICATE").trim()).toBe(found.caPem.trim());
    const wrong = ensureCertificates({ ...options, keyFile: at("ca/rootCA.key") });
    await expect(wrong).rejects.toThrow("is not its key");
  });
});
