import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { connect, type TLSSocket } from "node:tls";
import { startCloudStream, type CloudStream } from "#cloud/cloud-hub/stream-port";
import { createKubeClient } from "#cloud/kube-client";
import { Bus } from "#shared/bus";
import { systemClock } from "#shared/clock";
import { budgetOfProcess } from "#shared/connections";
import { UnavailableError } from "#shared/errors";
import { createAuthority, fromPem, toPem, type Authority, type KeyPair } from "#shared/pki";
import { podService, readPodStreamHead, refusePod, type PodStreamRequest } from "#shared/pod-streams";
import { SpdySession } from "#shared/spdy";
import { openLocalStream, serveOver, type ByteStream } from "#shared/streams";
import type { CloudCatalog } from "#shared/topics";
import { connectionOfSocket } from "#shared/upgrades";
import { refuseWith, serveEcho } from "#internal/test/cloud/kube-api/server/pod-streams/pod-world.ts";
import { adminToken, startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { makeRequest } from "#internal/test/support/cloud/client-user.ts";
import { needsCommands } from "#internal/test/support/needs.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

// Each test starts an API.
setDefaultTimeout(30_000);
const hasOpenssl = needsCommands("openssl");

interface Answer {
  readonly status: number;
  readonly text: string;
}

interface World extends AsyncDisposable {
  readonly server: TestServer;
  readonly stream: CloudStream;
  readonly authority: Authority;
  /** The client certificate of kube-apiserver. */
  readonly apiServer: KeyPair;
  readonly asked: { readonly node: string; readonly request: PodStreamRequest }[];
  get(
    path: string,
    options?: { readonly pair?: Partial<KeyPair>; readonly headers?: Record<string, string> },
  ): Promise<Answer>;
}

/** An API with pods on two nodes, the stream port of its cloudcore, and nodes that answer as `serve` says. */
async function world(
  serve: (stream: ByteStream, request: PodStreamRequest) => Promise<void> = serveEcho,
): Promise<World> {
  await using stack = new AsyncDisposableStack();
  const { path: dataDir } = stack.use(tempDir());
  const server = stack.use(await startTestServer(dataDir));
  await addObjects(server);
  const nowMs = Date.now();
  const authority = await createAuthority({ commonName: "cluster-ca", days: 1, nowMs });
  const serving = await authority.issue({
    subject: { commonName: "c" },
    hosts: ["127.0.0.1"],
    usage: "server",
    days: 1,
    nowMs,
  });
  const log = silentLog();
  const bus = stack.use(new Bus<CloudCatalog>({ onFailure: () => undefined }));
  const asked: { node: string; request: PodStreamRequest }[] = [];
  const nodes = bus.port<never, never, never, "stream.open">("nodes");
  stack.use(
    nodes.answer("stream.open", async ({ node, head }) => {
      if (node === "edge-3") throw new UnavailableError("not-connected", 'Node "edge-3" is not connected');
      return openLocalStream(head, (far) => {
        if (far.head.service !== podService)
          return void serveOver(
            far,
            "http://node",
            async ({ url }) => new Response(`${node} ${new URL(url).pathname}`),
          );
        const request = readPodStreamHead(far.head);
        asked.push({ node, request });
        serve(far, request).catch((error: unknown) => far.reset(String(error)));
      });
    }),
  );
  const access = { from: "inline", server: server.api.url, token: adminToken, caPem: server.caPem } as const;
  const kube = stack.use(await createKubeClient(access, { clock: systemClock, log }));
  const stream = stack.use(
    await startCloudStream(
      { address: "127.0.0.1", port: 0, pems: { ca: authority.certPem, ...serving } },
      {
        port: bus.port("cloudstream"),
        kube,
        clock: systemClock,
        log,
        connections: budgetOfProcess(systemClock),
      },
    ),
  );
  const apiServer = await client(authority, "kube-apiserver-kubelet-client", ["system:masters"]);
  const owned = stack.move();
  return {
    server,
    stream,
    authority,
    apiServer,
    asked,
    get: async (path, { pair = apiServer, headers = {} } = {}) => {
      const sent = httpsRequest({
        host: "127.0.0.1",
        port: stream.listensAt,
        path,
        headers,
        ca: authority.certPem,
        ...pair,
        agent: false,
        // As kube-apiserver without --kubelet-certificate-authority.
        checkServerIdentity: () => undefined,
      });
      sent.end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      let text = "";
      for await (const bytes of response) text += String(bytes);
      return { status: response.statusCode ?? 0, text };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function client(authority: Authority, commonName: string, organizations: string[]): Promise<KeyPair> {
  return authority.issue({
    subject: { commonName, organizations },
    usage: "client",
    days: 1,
    nowMs: Date.now(),
  });
}

async function addObjects({ call }: TestServer): Promise<void> {
  for (const name of ["edge-1", "edge-2", "edge-3"])
    await call("POST", "/api/v1/nodes", { metadata: { name } });
  for (const [name, nodeName] of [
    ["one", "edge-1"],
    ["two", "edge-2"],
    ["three", "edge-3"],
  ]) {
    const spec = { nodeName, containers: [{ name: "a", image: "busybox:1" }] };
    await call("POST", "/api/v1/namespaces/default/pods", { metadata: { name }, spec });
  }
}

/** As kube-apiserver goes on with a client of SPDY. */
async function dialSpdy(
  { stream, authority, apiServer }: World,
  path: string,
  version: string,
): Promise<{ readonly head: string; readonly session: SpdySession; readonly socket: TLSSocket }> {
  const socket = connect({ host: "127.0.0.1", port: stream.listensAt, ca: authority.certPem, ...apiServer });
  await once(socket, "secureConnect");
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${version}\r\n\r\n`,
  );
  const [first] = (await once(socket, "data")) as [Buffer];
  const end = first.indexOf("\r\n\r\n") + 4;
  const session = new SpdySession({
    connection: connectionOfSocket(socket, first.subarray(end)),
    mostStreams: 0,
  });
  return { head: first.subarray(0, end).toString(), session, socket };
}

const log = "/containerLogs/default/one/a";

describe("what kube-apiserver asks of a kubelet", () => {
  test("a log is asked of the node of the pod, with its options", async () => {
    await using cloud = await world();
    expect(await cloud.get(`${log}?follow=true&tailLines=3`)).toEqual({
      status: 200,
      text: "line 1\nline 2\n",
    });
    expect(cloud.asked).toMatchObject([
      { node: "edge-1", request: { kind: "logs", name: "one", container: "a", follow: true, tailLines: 3 } },
    ]);
  });

  test("a process is connected by SPDY", async () => {
    await using cloud = await world();
    const { session, socket, head } = await dialSpdy(
      cloud,
      "/exec/default/one/a?command=cat&command=-&input=1&output=1",
      "v4.channel.k8s.io",
    );
    expect(head).toStartWith("HTTP/1.1 101");
    const errors = await session.open(new Map([["streamtype", "error"]]));
    const stdin = await session.open(new Map([["streamtype", "stdin"]]));
    const stdout = await session.open(new Map([["streamtype", "stdout"]]));
    const writer = stdin.writable.getWriter();
    await writer.write(Buffer.from("hello"));
    await writer.close();
    expect(await new Response(stdout.readable).text()).toBe("hello");
    expect(JSON.parse(await new Response(errors.readable).text())).toMatchObject({ status: "Success" });
    expect(cloud.asked).toMatchObject([
      { request: { kind: "exec", command: ["cat", "-"], stdin: true, stderr: false } },
    ]);
    await session.close();
    socket.destroy();
  });

  test("a port is forwarded by SPDY", async () => {
    await using cloud = await world();
    const { session, socket } = await dialSpdy(cloud, "/portForward/default/one", "portforward.k8s.io");
    const headers = (streamtype: string) =>
      new Map([
        ["streamtype", streamtype],
        ["port", "8080"],
        ["requestid", "1"],
      ]);
    await session.open(headers("error"));
    const data = await session.open(headers("data"));
    const writer = data.writable.getWriter();
    await writer.write(Buffer.from("hello"));
    await writer.close();
    expect(await new Response(data.readable).text()).toBe("hello");
    expect(cloud.asked).toMatchObject([{ request: { kind: "port-forward", port: 8080 } }]);
    await session.close();
    socket.destroy();
  });

  test("a refusal of the node is its text and code, and so is that of a node that is not there", async () => {
    await using cloud = await world(refuseWith(refusePod.badRequest('container "a" is waiting to start')));
    expect(await cloud.get(log)).toEqual({ status: 400, text: 'container "a" is waiting to start\n' });
    expect(await cloud.get("/containerLogs/default/three/a")).toMatchObject({ status: 503 });
    expect(await cloud.get("/containerLogs/default/none/a")).toEqual({
      status: 404,
      text: "pod does not exist\n",
    });
    expect(await cloud.get("/exec/default/one/u2/a?command=ls&output=1")).toEqual({
      status: 404,
      text: "pod does not exist\n",
    });
  });

  test("figures are asked of the node that the proxy of kube-apiserver, or the host, names", async () => {
    await using cloud = await world();
    const uri = "/api/v1/nodes/edge-2/proxy/metrics/resource";
    expect(await cloud.get("/metrics/resource", { headers: { "X-Forwarded-Uri": uri } })).toEqual({
      status: 200,
      text: "edge-2 /metrics/resource",
    });
    expect(await cloud.get("/stats/summary", { headers: { Host: "edge-1.nodes.example:10003" } })).toEqual({
      status: 200,
      text: "edge-1 /stats/summary",
    });
    expect(await cloud.get("/metrics")).toMatchObject({ status: 404 });
  });
});

describe("who may ask", () => {
  test("a client without a certificate, or with one of another CA, is not connected", async () => {
    await using cloud = await world();
    const other = await createAuthority({ commonName: "other", days: 1, nowMs: Date.now() });
    const forged = await client(other, "kube-apiserver-kubelet-client", ["system:masters"]);
    for (const pair of [{ cert: "", key: "" }, forged]) expect(cloud.get(log, { pair })).rejects.toThrow();
    expect(cloud.asked).toEqual([]);
  });

  test("a certificate of the CA whose user has no right to nodes is refused", async () => {
    await using cloud = await world();
    const pair = await client(cloud.authority, "system:node:edge-1", ["system:nodes"]);
    expect(await cloud.get(log, { pair })).toEqual({
      status: 403,
      text: `Forbidden (user=system:node:edge-1, node=edge-1, path=${log})\n`,
    });
    expect(cloud.asked).toEqual([]);
  });

  test.skipIf(!hasOpenssl)("a certificate with two names is of its last one, as in Kubernetes", async () => {
    await using cloud = await world();
    using dir = tempDir();
    const { keyFile, pem } = makeRequest(dir.path, "/CN=system:node:edge-1/CN=mallory");
    const request = await cloud.authority.openRequest(fromPem(pem) ?? new Uint8Array());
    const nowMs = Date.now();
    const dates = { nowMs, notBeforeMs: nowMs - 60_000, notAfterMs: nowMs + 3_600_000 };
    const { der } = await request.certify({ usages: ["client auth"], ...dates });
    const pair = { cert: toPem(der, "CERTIFICATE"), key: readFileSync(keyFile, "utf8") };
    expect(await cloud.get(log, { pair })).toEqual({
      status: 403,
      text: `Forbidden (user=mallory, node=edge-1, path=${log})\n`,
    });
    expect(cloud.asked).toEqual([]);
  });

  test("a right to one node, and to its metrics, reaches no further", async () => {
    await using cloud = await world();
    const rules = [
      { apiGroups: [""], resources: ["nodes/metrics"], resourceNames: ["edge-1"], verbs: ["get"] },
    ];
    const rbac = "/apis/rbac.authorization.k8s.io/v1";
    await cloud.server.call("POST", `${rbac}/clusterroles`, { metadata: { name: "reader" }, rules });
    const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "reader" };
    const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "prometheus" }];
    await cloud.server.call("POST", `${rbac}/clusterrolebindings`, {
      metadata: { name: "reader" },
      roleRef,
      subjects,
    });
    const pair = await client(cloud.authority, "prometheus", []);
    const of = async (path: string, node: string): Promise<number> => {
      const { status } = await cloud.get(path, {
        pair,
        headers: { "X-Forwarded-Uri": `/api/v1/nodes/${node}/proxy${path}` },
      });
      return status;
    };
    expect([
      await of("/metrics", "edge-1"),
      await of("/metrics", "edge-2"),
      await of("/stats/summary", "edge-1"),
      await of(log, "edge-1"),
    ]).toEqual([200, 403, 403, 403]);
  });

  test("through the proxy of one node nobody reaches the pods of another", async () => {
    await using cloud = await world();
    const headers = { "X-Forwarded-Uri": "/api/v1/nodes/edge-2/proxy/containerLogs/default/one/a" };
    expect(await cloud.get(log, { headers })).toEqual({ status: 404, text: "pod does not exist\n" });
    expect(cloud.asked).toEqual([]);
  });

  test("other paths and methods of a kubelet are not served", async () => {
    await using cloud = await world();
    const headers = { "X-Forwarded-Uri": "/api/v1/nodes/edge-1/proxy/x" };
    for (const path of [
      "/run/default/one/a?cmd=ls",
      "/logs/",
      "/debug/pprof/",
      "/containerLogs/default/one",
      "/containerLogs/default/%2e%2e/a/b/c",
      "//",
    ])
      expect((await cloud.get(path, { headers })).status).toBe(404);
  });
});
