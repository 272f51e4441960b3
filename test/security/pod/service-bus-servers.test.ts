import { expect, test } from "bun:test";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { fetchOver, type ByteStream } from "#shared/streams";
import { startApp, startBus } from "#internal/test/edge/service-bus/bus-harness.ts";

interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly seen: string[];
  readonly open: () => number;
}

/** A server that answers whatever it is sent with these bytes. */
async function rawServer(answer: (socket: Socket) => void): Promise<RawServer> {
  const seen: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => void seen.push(bytes.toString("latin1")));
    socket.once("data", () => answer(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    open: () => sockets.size,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

test.each([
  ["101", "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"],
  ["no HTTP", "SSH-2.0-OpenSSH_9.0\r\n"],
  ["a head of 70 KiB", `HTTP/1.1 200 OK\r\nx-a: ${"y".repeat(70_000)}\r\n\r\n`],
  ["lines of a head without end", `HTTP/1.1 200 OK\r\n${"x-a: y\r\n".repeat(8500)}`],
  ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 20\r\n\r\nok"],
  ["a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok"],
  ["a chunk of nonsense", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
  ["nothing", ""],
] as const)(
  "servers that answer with %s leave no request behind",
  async (_what, bytes) => {
    await using server = await rawServer((socket) => void socket.end(bytes));
    using good = startApp(() => new Response("fine"));
    await using bus = await startBus({ allowedPorts: [server.port, good.port] });
    for (let turn = 0; turn < 7; turn += 1) {
      const asked = Array.from({ length: 20 }, async () => {
        const answer = await bus.request({ port: server.port }, AbortSignal.timeout(3000));
        await answer.text();
        return answer.status;
      });
      for (const one of await Promise.allSettled(asked))
        if (one.status === "fulfilled") expect(one.value).toBe(502);
    }
    // 128 at a time are all that the node has.
    const answer = await bus.request({ port: good.port });
    expect([answer.status, await answer.text()]).toEqual([200, "fine"]);
  },
  20_000,
);

test("callers that leave as soon as the server has answered leave no request behind", async () => {
  const answered: (() => void)[] = [];
  using server = startApp(() => {
    for (const one of answered.splice(0)) one();
    return new Response("x".repeat(300_000));
  });
  await using bus = await startBus({ allowedPorts: [server.port] });
  for (let turn = 0; turn < 200; turn += 1) {
    const seen = new Promise<void>((resolve) => answered.push(resolve));
    const stream = bus.open({ method: "GET", path: "/", headers: [], port: server.port });
    await seen;
    if (turn % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    stream.reset("left");
  }
  const answer = await bus.request({ port: server.port });
  expect(answer.status).toBe(200);
  await answer.text();
}, 20_000);

test.each([0, 65_536, -1, 80.5, 1e10, "80", "1e3", "080", null, { port: 80 }, true] as unknown[])(
  "the port %p is none",
  async (port) => {
    await using bus = await startBus({ allowedPorts: [80, 1000] });
    const answer = await fetchOver(
      bus.open({ method: "GET", path: "/", headers: [], port }),
      null,
      AbortSignal.timeout(3000),
    );
    expect([answer.status, answer.headers.get("kubeedge-error")]).toEqual([400, "bad-request"]);
  },
);

test("the answer to a refused WebSocket reaches a caller that reads late", async () => {
  await using bus = await startBus();
  const open = (): ByteStream => bus.open({ upgrade: "websocket", path: "/", headers: [], port: 81 });
  const streams = Array.from({ length: 20 }, open);
  // Whatever the node sends on them is there when it has answered this.
  for (let turn = 0; turn < 3; turn += 1) expect((await bus.request({ port: 81 })).status).toBe(403);
  for (const stream of streams) {
    await stream.writable.close();
    expect(await new Response(stream.readable).text()).toContain("port-not-allowed");
  }
});
