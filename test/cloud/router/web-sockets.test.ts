import { afterAll, beforeAll, expect, test } from "bun:test";
import { WebSocket } from "ws";
import { adminToken } from "#internal/test/support/cloud/api-server.ts";
import { startRouterHarness, until, type RouterHarness } from "./router-harness.ts";

let harness: RouterHarness;
let app: Bun.Server<{ readonly protocol: string }>;

beforeAll(async () => {
  app = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) => {
      const protocol = request.headers.get("sec-websocket-protocol") ?? "none";
      if (new URL(request.url).pathname !== "/live") return new Response("no", { status: 404 });
      const headers = protocol === "none" ? {} : { "sec-websocket-protocol": protocol };
      return server.upgrade(request, { data: { protocol }, headers })
        ? undefined
        : new Response("?", { status: 400 });
    },
    websocket: {
      open: (socket) => void socket.send(`hello ${socket.data.protocol}`),
      message: (socket, message) => void socket.send(message),
    },
  });
  harness = await startRouterHarness();
  harness.webSocketPort = app.port ?? 0;
  await harness.addNode("edge-1");
  await harness.put("Rule", "live", {
    source: "rest",
    sourceResource: { path: "/app" },
    target: "app",
    targetResource: { path: "/" },
  });
  await harness.connect("edge-1");
  await until(
    () => harness.request("/edge-1/default/app?dryRun=All"),
    ({ status }) => status === 200,
  );
});
afterAll(async () => {
  await harness[Symbol.asyncDispose]();
  await app.stop(true);
});

interface Opened {
  readonly socket: WebSocket;
  readonly next: () => Promise<Buffer>;
}

function dial(path: string, headers: Record<string, string>, protocols: string[] = []): Promise<Opened> {
  const socket = new WebSocket(`wss://127.0.0.1:${harness.router.port}${path}`, protocols, {
    ca: harness.caPem,
    headers,
  });
  const received: Buffer[] = [];
  let wake: (() => void) | undefined;
  socket.on("message", (data: Buffer) => {
    received.push(data);
    wake?.();
  });
  const next = async (): Promise<Buffer> => {
    for (;;) {
      const first = received.shift();
      if (first) return first;
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return new Promise((resolve, reject) => {
    socket.once("open", () => resolve({ socket, next }));
    socket.once("unexpected-response", (_request, response) =>
      reject(new Error(`status ${response.statusCode}`)),
    );
    socket.once("error", reject);
  });
}

const admin = { authorization: `Bearer ${adminToken}` };

test("a WebSocket passes through to a server on a node, with large messages", async () => {
  const { socket, next } = await dial("/edge-1/default/app/live", admin);
  expect((await next()).toString()).toBe("hello none");
  const large = Buffer.alloc(1024 * 1024, 7);
  socket.send(large);
  expect((await next()).equals(large)).toBe(true);
  const closed = new Promise((resolve) => {
    socket.once("close", resolve);
  });
  socket.close();
  await closed;
});

test("a browser sends its token as a subprotocol, which the server does not see", async () => {
  const token = Buffer.from(adminToken).toString("base64url");
  const { socket, next } = await dial("/edge-1/default/app/live", {}, [
    `base64url.bearer.authorization.k8s.io.${token}`,
    "chat",
  ]);
  expect([(await next()).toString(), socket.protocol]).toEqual(["hello chat", "chat"]);
  socket.terminate();
});

test.each([
  ["without a token", "/edge-1/default/app/live", {}, "status 401"],
  ["for a path without a rule", "/edge-1/default/nothing", admin, "status 404"],
  ["for a path that the server does not have", "/edge-1/default/app/other", admin, "status 404"],
  ["for a node that does not exist", "/edge-9/default/app/live", admin, "status 404"],
])("a WebSocket %s is refused with its status", async (_what, path, headers, reason) => {
  expect(dial(path, headers as Record<string, string>)).rejects.toThrow(reason);
});

test("a WebSocket ends when the node disconnects", async () => {
  await harness.addNode("edge-2");
  await harness.connect("edge-2");
  await until(
    () => harness.request("/edge-2/default/app?dryRun=All"),
    ({ status }) => status === 200,
  );
  const { socket, next } = await dial("/edge-2/default/app/live", admin);
  await next();
  const closed = new Promise((resolve) => {
    socket.once("close", resolve);
  });
  harness.cut("edge-2");
  await closed;
});
