import { expect, test } from "bun:test";
import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { UrlPoster } from "#internal/cloud/router/senders/url-poster.ts";
import { systemClock } from "#shared/clock";
import { AppError } from "#shared/errors";

const body = new TextEncoder().encode("x");

async function codeOf(url: string, allowLocal: boolean): Promise<unknown> {
  try {
    using poster = new UrlPoster(systemClock, { allowLocal });
    return (await poster.post({ url, headers: {}, body, timeoutMs: 1000 })).status;
  } catch (error) {
    return error instanceof AppError ? error.code : error;
  }
}

test.each([
  "http://127.0.0.1:1/",
  "http://127.1:1/",
  "http://2130706433:1/",
  "http://localhost:1/",
  "http://[::1]:1/",
  "http://[::ffff:127.0.0.1]:1/",
  "http://0.0.0.0:1/",
  "http://[::]:1/",
  "http://169.254.169.254/latest/meta-data",
  "http://[fe80::1]/",
  "http://[fd00:ec2::254]/latest/meta-data",
])("a rule must not post to %s, which only this machine reaches", async (url) => {
  expect(await codeOf(url, false)).toBe("refused-address");
});

test("a target on this machine is allowed where the configuration says so, and redirects are not followed", async () => {
  let redirected = 0;
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      if (new URL(request.url).pathname === "/there") redirected += 1;
      return new Response(null, { status: 302, headers: { location: "/there" } });
    },
  });
  expect([await codeOf(`http://127.0.0.1:${server.port}/`, true), redirected]).toEqual([302, 0]);
});

test("a target that does not answer in time is a timeout", async () => {
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Promise(() => undefined),
  });
  expect(await codeOf(`http://127.0.0.1:${server.port}/`, true)).toBe("timeout");
});

test("a rule must not post to a name that resolves to this machine", async () => {
  using poster = new UrlPoster(systemClock, {
    allowLocal: false,
    resolve: async () => [
      { address: "192.0.2.1", family: 4 },
      { address: "127.0.0.1", family: 4 },
    ],
  });
  const post = { url: "http://there.example/", headers: {}, body, timeoutMs: 1000 };
  await expect(poster.post(post)).rejects.toMatchObject({ code: "refused-address" });
});

test("a message goes to the address that was checked, whatever the name resolves to next", async () => {
  let posts = 0;
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response(String((posts += 1))),
  });
  const names: string[] = [];
  using poster = new UrlPoster(systemClock, {
    allowLocal: false,
    resolve: async (name) => {
      names.push(name);
      // Of TEST-NET-1: nobody is there.
      return [{ address: "192.0.2.1", family: 4 }];
    },
  });
  // The system resolves it to the loopback.
  const post = { url: `http://localhost:${server.port}/`, headers: {}, body, timeoutMs: 200 };
  await expect(poster.post(post)).rejects.toBeInstanceOf(AppError);
  expect([names, posts]).toEqual([["localhost"], 0]);
});

test("messages keep the name of the URL as Host, and their connection", async () => {
  const hosts: (string | null)[] = [];
  let connections = 0;
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      hosts.push(request.headers.get("host"));
      return new Response(await request.text());
    },
  });
  using front = await listen(
    createServer((socket) => {
      connections += 1;
      relay(socket, server.port ?? 0);
    }),
  );
  using poster = new UrlPoster(systemClock, { allowLocal: true });
  const url = `http://localhost:${front.port}/in`;
  for (const text of ["a", "b"])
    expect(
      await poster.post({ url, headers: {}, body: new TextEncoder().encode(text), timeoutMs: 5000 }),
    ).toEqual({ status: 200, text });
  expect([connections, hosts]).toEqual([1, [`localhost:${front.port}`, `localhost:${front.port}`]]);
});

test("the name of the URL is what TLS asks for", async () => {
  const asked = Promise.withResolvers<string>();
  using server = await listen(
    createTlsServer({
      SNICallback: (name, callback) => {
        asked.resolve(name);
        callback(new Error("no certificate"));
      },
    }),
  );
  expect(await codeOf(`https://localhost:${server.port}/`, true)).toBe("no-answer");
  expect(await asked.promise).toBe("localhost");
});

test("a long answer is cut, and one that does not end is not waited for", async () => {
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () =>
      new Response(
        new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(97)) }),
      ),
  });
  using poster = new UrlPoster(systemClock, { allowLocal: true });
  const post = { url: `http://127.0.0.1:${server.port}/`, headers: {}, body, timeoutMs: 10_000 };
  expect((await poster.post(post)).text.length).toBe(1024 * 1024);
});

interface Listening extends Disposable {
  readonly port: number;
}

async function listen(server: Server): Promise<Listening> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address ? address.port : 0,
    [Symbol.dispose]: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function relay(socket: Socket, port: number): void {
  const behind = connect({ host: "127.0.0.1", port });
  for (const one of [socket, behind]) one.on("error", () => undefined);
  socket.pipe(behind).pipe(socket);
}
