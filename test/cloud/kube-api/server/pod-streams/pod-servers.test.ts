import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { WebSocket } from "ws";
import { eventually } from "#internal/scripts/service.ts";
import {
  extensionObjects,
  startExtensionServer,
  type ExtensionServer,
} from "#internal/test/support/cloud/extension-server.ts";
import { encodeBlock, type ByteStream } from "#shared/streams";
import { podWorld, serveEcho, type PodWorld } from "./pod-world.ts";

setDefaultTimeout(60_000);
const services = "/apis/apiregistration.k8s.io/v1/apiservices/v1alpha1.wardle.example.com";

interface Served extends AsyncDisposable {
  readonly world: PodWorld;
  readonly extension: ExtensionServer;
}

/** An extension server in pod "one" of node edge-1, at an address that nobody can reach but its node. */
async function servedByPod(): Promise<Served> {
  await using stack = new AsyncDisposableStack();
  let port = 0;
  const world = stack.use(
    await podWorld(async (stream, request) => {
      if (request.kind === "port-forward") await joinTo(stream, port);
      else await serveEcho(stream, request);
    }),
  );
  const { call, proxyCaPem } = world.server;
  const extension = stack.use(await startExtensionServer(proxyCaPem, "extension.default.svc"));
  port = extension.port;
  const uid = (await call("GET", "/api/v1/namespaces/default/pods/one")).body["metadata"]?.["uid"];
  const targetRef = { kind: "Pod", namespace: "default", name: "one", uid };
  for (const [path, object] of extensionObjects(extension, "default", {
    ip: "192.0.2.1",
    nodeName: "edge-1",
    targetRef,
  }))
    expect(await call("POST", path, object)).toMatchObject({ status: 201 });
  const owned = stack.move();
  return { world, extension, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** What a node does for `port-forward`: it connects to the port in the pod. */
async function joinTo(stream: ByteStream, port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => stream.reset("the server has gone"));
  const writer = stream.writable.getWriter();
  await writer.write(encodeBlock({ status: "Success" }));
  socket.on("data", (bytes: Buffer) => void writer.write(new Uint8Array(bytes)).catch(() => undefined));
  socket.once("close", () => void writer.close().catch(() => undefined));
  try {
    for await (const piece of stream.readable) socket.write(piece);
  } catch {
    // The stream was reset.
  }
  socket.end();
}

test("an API is aggregated that a pod on an edge node serves, over the link of the node", async () => {
  await using served = await servedByPod();
  const { world, extension } = served;
  const { call } = world.server;
  await eventually(20_000, async () =>
    expect((await call("GET", services)).body).toMatchObject({
      status: { conditions: [{ status: "True", reason: "Passed" }] },
    }),
  );
  const path = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";
  expect(await call("GET", path)).toMatchObject({
    status: 200,
    body: { items: [{ metadata: { name: "one" } }] },
  });
  expect(world.asked.at(-1)).toMatchObject({ kind: "port-forward", name: "one", port: extension.port });
  expect(extension.asked.at(-1)).toMatchObject({ client: "front-proxy-client" });
});

test("a webhook is called that a pod on an edge node serves, and its certificate is that of the pod", async () => {
  await using served = await servedByPod();
  const { world, extension } = served;
  const { call } = world.server;
  const webhook = (caBundle: string): object => ({
    metadata: { name: "pods" },
    webhooks: [
      {
        name: "pods.example.com",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        rules: [{ operations: ["CREATE"], apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"] }],
        clientConfig: { service: { namespace: "default", name: "extension" }, caBundle },
      },
    ],
  });
  const hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
  await call("POST", hooks, webhook(extension.caBundle));
  const configMap = { metadata: { name: "a" } };
  // It is no webhook: its answer shows that it was asked.
  expect(await call("POST", "/api/v1/namespaces/default/configmaps", configMap)).toMatchObject({
    status: 500,
    body: { message: expect.stringContaining("webhook response was absent") },
  });
  await call("DELETE", `${hooks}/pods`);
  await call("POST", hooks, webhook(Buffer.from(world.server.caPem).toString("base64")));
  const posted = (): number => extension.asked.filter(({ method }) => method === "POST").length;
  const before = posted();
  expect(await call("POST", "/api/v1/namespaces/default/configmaps", configMap)).toMatchObject({
    status: 500,
    body: { message: expect.stringContaining("unable to verify the first certificate") },
  });
  expect(posted()).toBe(before);
});

test("a process is started by a user with a client certificate, and by nobody else on another connection", async () => {
  await using world = await podWorld();
  const { server } = world;
  const rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
  const rules = [{ apiGroups: [""], resources: ["pods/exec"], verbs: ["create", "get"] }];
  await server.call("POST", `${rbac}/roles`, { metadata: { name: "exec" }, rules });
  await server.call("POST", `${rbac}/rolebindings`, {
    metadata: { name: "jane" },
    roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "exec" },
    subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: "jane" }],
  });
  server.api.askForCertificates(Date.now() + 3_600_000);
  const open = async (commonName: string | undefined): Promise<string> => {
    const subject = commonName === undefined ? undefined : { commonName };
    const pair =
      subject && (await server.clients.issue({ subject, usage: "client", days: 1, nowMs: Date.now() }));
    const path = "/api/v1/namespaces/default/pods/one/exec?command=cat&stdin=1&stdout=1";
    const socket = new WebSocket(`${server.api.url.replace("https", "wss")}${path}`, ["v5.channel.k8s.io"], {
      ca: server.caPem,
      ...pair,
      perMessageDeflate: false,
    });
    const outcome = await new Promise<string>((resolve) => {
      socket.once("open", () => resolve("open"));
      socket.once("unexpected-response", (_, response) => resolve(String(response.statusCode)));
      socket.once("error", (error) => resolve(error.message));
    });
    const closed = new Promise((resolve) => {
      socket.once("close", resolve);
    });
    socket.terminate();
    await closed;
    return outcome;
  };
  expect(await open("jane")).toBe("open");
  expect(world.asked.at(-1)).toMatchObject({ kind: "exec", command: ["cat"] });
  expect(await open("john")).toContain("403");
  expect(await open(undefined)).toContain("403");
});
