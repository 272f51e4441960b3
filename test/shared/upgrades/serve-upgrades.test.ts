import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { systemClock } from "#shared/clock";
import { serveUpgrades, type UpgradeServer, type UpgradeServerOptions } from "#shared/upgrades";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const hostname = "127.0.0.1";

function start(options: Partial<UpgradeServerOptions> = {}): UpgradeServer & AsyncDisposable {
  const server = serveUpgrades({
    address: { hostname, port: 0 },
    clock: systemClock,
    mostBodyBytes: 1000,
    upgradable: ["/pods/:name/exec"],
    fetch: async (request) => new Response(`native ${request.method} ${await request.text()}`),
    upgrade: async (_request, offer) => {
      if (offer?.protocol !== "test") return new Response("no such protocol", { status: 403 });
      const { readable, writable } = offer.toConnection({ Connection: "Upgrade", Upgrade: "test" });
      readable.pipeTo(writable).catch(() => undefined);
      return new Response();
    },
    ...options,
  });
  return Object.assign(server, { [Symbol.asyncDispose]: () => server.stop(true) });
}

function dial({ port = 0 }: UpgradeServer, text: string): Socket {
  const socket = connect(port, hostname);
  socket.write(text);
  return socket;
}

async function readUntil(socket: Socket, end: string): Promise<string> {
  let text = "";
  while (!text.includes(end)) text += String((await once(socket, "data"))[0]);
  return text;
}

const upgrade = "GET /pods/one/exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n";

test("what is not upgradable is answered by fetch", async () => {
  await using server = start();
  const answer = await fetch(`http://${hostname}:${server.port}/pods/one`, { method: "POST", body: "text" });
  expect(await answer.text()).toBe("native POST text");
});

test("a body that is too long is refused", async () => {
  await using server = start();
  const body = "x".repeat(1001);
  const answer = await fetch(`http://${hostname}:${server.port}/pods/one`, { method: "POST", body });
  expect(answer.status).toBe(413);
});

test("a request of an upgradable route without an upgrade is answered as it is", async () => {
  await using server = start();
  const answer = await fetch(`http://${hostname}:${server.port}/pods/one/exec`, { method: "POST" });
  expect([answer.status, await answer.text()]).toEqual([403, "no such protocol"]);
});

test("a connection becomes another protocol, with what came behind the request", async () => {
  await using server = start();
  const socket = dial(server, `${upgrade}early`);
  expect(await readUntil(socket, "early")).toBe(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\nearly",
  );
  socket.write("later");
  expect(await readUntil(socket, "later")).toBe("later");
  socket.destroy();
});

test("an upgrade that is refused is answered, and the connection ends", async () => {
  await using server = start();
  const socket = dial(server, upgrade.replace("Upgrade: test", "Upgrade: other"));
  expect(await readUntil(socket, "no such protocol")).toStartWith("HTTP/1.1 403 Forbidden\r\n");
  await once(socket, "end");
  socket.destroy();
});

test("stopping ends connections that have another protocol", async () => {
  await using server = start();
  const socket = dial(server, upgrade);
  await readUntil(socket, "\r\n\r\n");
  const ended = once(socket, "close");
  await server.stop(true);
  await ended;
});

test("a Unix socket is served as well", async () => {
  await using dir = tempDir();
  const unix = `${dir.path}/api.sock`;
  await using _server = start({ address: { unix } });
  const answer = await fetch("http://localhost/pods/one", { unix });
  expect(await answer.text()).toBe("native GET ");
});

test("a port that is taken is an error at once", async () => {
  await using server = start();
  expect(() => start({ address: { hostname, port: server.port ?? 0 } })).toThrow("in use");
});

test("Bun.serve is as before", async () => {
  const { serve } = Bun;
  await using _server = start();
  expect(Bun.serve).toBe(serve);
});
