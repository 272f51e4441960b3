import { expect, test } from "bun:test";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { createKubeClient, resources, type KubeOptions } from "#cloud/kube-client";
import { systemClock } from "#shared/clock";
import type { ConfigMap } from "#shared/kube";
import { createAuthority, type Authority, type KeyPair } from "#shared/pki";
import { playApi } from "#internal/test/support/fake/played-api.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const deps = { clock: systemClock, log: silentLog() };
const added = {
  type: "ADDED",
  object: { metadata: { name: "a", namespace: "default", resourceVersion: "2" } },
};

interface StrictServer extends AsyncDisposable {
  readonly url: string;
  /** Common names of client certificates and Authorization headers, in order of requests. */
  readonly seen: string[];
  /** Answers 401 to any other token. */
  token: string | undefined;
}

/** Speaks to nobody without a certificate of `clients`; answers lists with nothing and watches with one object. */
async function startStrictServer(server: Authority, clients: Authority | undefined): Promise<StrictServer> {
  const subject = { commonName: "api" };
  const nowMs = Date.now();
  const pair = await server.issue({ subject, hosts: ["127.0.0.1"], usage: "server", days: 1, nowMs });
  const state = { seen: [] as string[], token: undefined as string | undefined };
  const tls = createSecureServer(
    {
      allowHTTP1: true,
      cert: pair.cert,
      key: pair.key,
      ...(clients ? { ca: clients.certPem, requestCert: true, rejectUnauthorized: true } : {}),
    },
    (request, response) => {
      const { authorization } = request.headers;
      const name = clients ? (request.socket as TLSSocket).getPeerCertificate().subject.CN : "";
      state.seen.push([name, authorization].filter(Boolean).join(" "));
      const isRefused = state.token !== undefined && authorization !== `Bearer ${state.token}`;
      response.writeHead(isRefused ? 401 : 200, { "content-type": "application/json" });
      if (isRefused) response.end("{}");
      else if (request.url.includes("watch=true")) response.write(`${JSON.stringify(added)}\n`);
      else response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items: [] }));
    },
  );
  const sockets = new Set<TLSSocket>();
  tls.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
  });
  tls.on("tlsClientError", (_error, socket) => socket.destroy());
  tls.listen(0, "127.0.0.1");
  await once(tls, "listening");
  const { port } = tls.address() as AddressInfo;
  return Object.assign(state, {
    url: `https://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => tls.close(resolve));
    },
  });
}

function makeAuthority(commonName: string): Promise<Authority> {
  return createAuthority({ commonName, days: 1, nowMs: Date.now() });
}

function issueClient(authority: Authority): Promise<KeyPair> {
  return authority.issue({ subject: { commonName: "me" }, usage: "client", days: 1, nowMs: Date.now() });
}

function kubeconfig(server: string, cluster: Record<string, string>, user: Record<string, string>): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "c", cluster: { server, ...cluster } }],
    users: [{ name: "u", user }],
    contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
    "current-context": "x",
  });
}

async function watchOne(options: KubeOptions): Promise<string | undefined> {
  await using kube = await createKubeClient(options, deps);
  await using informer = kube.informer<ConfigMap>(resources.configMaps);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  informer.watch({ added: (object) => resolve(object.metadata.name) });
  return await promise;
}

test.each(["files", "data", "inline"] as const)(
  "client lists and watches with a client certificate given as %s, on a private CA",
  async (how) => {
    using dir = tempDir();
    const [serverCa, clientCa] = await Promise.all([makeAuthority("servers"), makeAuthority("clients")]);
    await using server = await startStrictServer(serverCa, clientCa);
    const pair = await issueClient(clientCa);
    const options = optionsFor(how, dir.path, { url: server.url, caPem: serverCa.certPem, ...pair });
    expect([await watchOne(options), server.seen]).toEqual(["a", ["me", "me"]]);
  },
);

test("client refuses a server of another CA, and is refused with a certificate of another CA", async () => {
  const [serverCa, clientCa] = await Promise.all([makeAuthority("servers"), makeAuthority("clients")]);
  await using server = await startStrictServer(serverCa, clientCa);
  const [good, foreign] = await Promise.all([issueClient(clientCa), issueClient(serverCa)]);
  const attempt = async (caPem: string, pair: KeyPair): Promise<unknown> => {
    const options = { server: server.url, caPem, clientCertPem: pair.cert, clientKeyPem: pair.key };
    await using kube = await createKubeClient({ from: "inline", ...options }, deps);
    return await kube.list(resources.pods).then(
      () => "listed",
      (error: { code?: string }) => error.code,
    );
  };
  const outcomes = [await attempt(clientCa.certPem, good), await attempt(serverCa.certPem, foreign)];
  expect([outcomes, server.seen]).toEqual([["kube-unavailable", "kube-unavailable"], []]);
});

test("client speaks plain http to the master that replaces a kubeconfig's server", async () => {
  using dir = tempDir();
  await using api = await playApi();
  const path = join(dir.path, "kubeconfig");
  writeFileSync(path, kubeconfig("https://127.0.0.1:1", {}, { token: "t" }));
  await using kube = await createKubeClient({ from: "kubeconfig", path, master: api.url }, deps);
  expect(await kube.list(resources.configMaps)).toEqual({ items: [], resourceVersion: "1" });
});

test("client names the file when a kubeconfig cannot be used", async () => {
  using dir = tempDir();
  const path = join(dir.path, "kubeconfig");
  const attempt = (text: string): Promise<string> => {
    writeFileSync(path, text);
    return createKubeClient({ from: "kubeconfig", path }, deps).then(
      () => "created",
      (error: Error) => error.message.slice(0, `Cannot use kubeconfig "${path}"`.length),
    );
  };
  const outcomes = [await attempt("users: ["), await attempt("{}"), await attempt("")];
  expect(outcomes).toEqual(Array.from({ length: 3 }, () => `Cannot use kubeconfig "${path}"`));
});

test("client reads a token file again when its token is refused", async () => {
  using dir = tempDir();
  const serverCa = await makeAuthority("servers");
  await using server = await startStrictServer(serverCa, undefined);
  const path = join(dir.path, "kubeconfig");
  const tokenFile = join(dir.path, "token");
  writeFileSync(tokenFile, "first\n");
  const caData = Buffer.from(serverCa.certPem).toString("base64");
  const user = { tokenFile: "token" };
  writeFileSync(path, kubeconfig(server.url, { "certificate-authority-data": caData }, user));
  await using kube = await createKubeClient({ from: "kubeconfig", path }, deps);
  server.token = "first";
  await kube.list(resources.pods);
  server.token = "second";
  writeFileSync(tokenFile, "second\n");
  await kube.list(resources.pods);
  expect(server.seen).toEqual(["Bearer first", "Bearer first", "Bearer second"]);
});

function optionsFor(
  how: "files" | "data" | "inline",
  dir: string,
  given: KeyPair & { readonly url: string; readonly caPem: string },
): KubeOptions {
  const { url, caPem, cert, key } = given;
  if (how === "inline") return { from: "inline", server: url, caPem, clientCertPem: cert, clientKeyPem: key };
  const encode = (text: string): string => Buffer.from(text).toString("base64");
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return name;
  };
  const path = join(dir, "kubeconfig");
  const [cluster, user] =
    how === "data"
      ? [
          { "certificate-authority-data": encode(caPem) },
          { "client-certificate-data": encode(cert), "client-key-data": encode(key) },
        ]
      : [
          { "certificate-authority": file("ca.crt", caPem) },
          { "client-certificate": file("me.crt", cert), "client-key": file("me.key", key) },
        ];
  writeFileSync(path, kubeconfig(url, cluster, user));
  return { from: "kubeconfig", path };
}
