import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { join } from "node:path";
import { systemClock, type Clock } from "#shared/clock";
import { boundsOf, ConnectionBudget, openEntrance, openFront, type Front } from "#shared/connections";
import { createAuthority, type KeyPair } from "#shared/pki";
import { eventually } from "#internal/scripts/service.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const clockOf = (speed: number): Clock => ({
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * speed,
  every: (ms, run) => systemClock.every(ms / speed, run),
  after: (ms, run) => systemClock.after(ms / speed, run),
});

const pieces = 200;
const piece = new Uint8Array(64 * 1024).map((_, at) => at % 251);

async function fetchBehind(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/echo") return new Response(await request.bytes());
  let sent = 0;
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    if (sent === pieces) return controller.close();
    sent += 1;
    controller.enqueue(piece);
  };
  return pathname === "/large" ? new Response(new ReadableStream({ pull })) : new Response("ok");
}

interface Fronted extends AsyncDisposable {
  readonly front: Front;
  readonly budget: ConnectionBudget;
  readonly url: string;
}

async function issue(): Promise<KeyPair> {
  const authority = await createAuthority({ commonName: "test-ca", days: 1, nowMs: Date.now() });
  const subject = { commonName: "front" };
  return authority.issue({ subject, hosts: ["127.0.0.1"], usage: "server", days: 1, nowMs: Date.now() });
}

function budgetOf(clock: Clock): ConnectionBudget {
  return new ConnectionBudget({ ...boundsOf(20_000), hasFiles: () => true, clock });
}

async function startFront(clock: Clock, tls?: KeyPair): Promise<Fronted> {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("front"));
  const behind = join(dir.path, "s");
  const server = Bun.serve({ unix: behind, fetch: fetchBehind });
  stack.defer(() => server.stop(true));
  const budget = budgetOf(clock);
  const identify = (head: string) => (/^who: me$/im.test(head) ? { who: "me", most: 2 } : undefined);
  const front = stack.use(
    openFront({ address: "127.0.0.1", port: 0, behind, budget, clock, identify, ...(tls && { tls }) }),
  );
  const owned = stack.move();
  const url = `${tls ? "https" : "http"}://127.0.0.1:${front.port}`;
  return { front, budget, url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const insecure = { tls: { rejectUnauthorized: false } } as BunFetchRequestInit;

/** Unlike `once` it takes a reset for an end. */
function closeOf(socket: Socket): Promise<void> {
  const closed = Promise.withResolvers<void>();
  socket.on("error", () => undefined);
  socket.on("close", () => closed.resolve());
  return closed.promise;
}

describe("a front", () => {
  test.each([["plain"], ["TLS"]])("hands on every byte of large bodies both ways (%s)", async (kind) => {
    await using fronted = await startFront(systemClock, kind === "TLS" ? await issue() : undefined);
    const body = Buffer.concat(Array.from({ length: 100 }, () => piece));
    const echo = await fetch(`${fronted.url}/echo`, { ...insecure, method: "POST", body });
    expect(Buffer.from(await echo.arrayBuffer()).equals(body)).toBe(true);
    const large = await (await fetch(`${fronted.url}/large`, insecure)).bytes();
    expect(large.length).toBe(pieces * piece.length);
    expect(Buffer.from(large.subarray(-piece.length)).equals(Buffer.from(piece))).toBe(true);
  });

  test("takes no more from the server behind than its client reads", async () => {
    await using fronted = await startFront(systemClock);
    const socket = connectTcp(fronted.front.port, "127.0.0.1");
    socket.write("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    socket.pause();
    await once(socket, "connect");
    let size = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      size += chunk.length;
      // A reader slower than the server.
      if (size % 7 === 0) await Bun.sleep(1);
    }
    expect(size).toBeGreaterThan(pieces * piece.length);
  });

  test("closes a connection whose first head drips for too long", async () => {
    await using fronted = await startFront(clockOf(50));
    const socket = connectTcp(fronted.front.port, "127.0.0.1");
    const closed = closeOf(socket);
    const dripping = setInterval(() => socket.write("x"), 10);
    try {
      await closed;
    } finally {
      clearInterval(dripping);
    }
    await eventually(2_000, async () => expect(fronted.budget.sockets).toBe(0));
  });

  test("closes a connection past those that one may have", async () => {
    await using fronted = await startFront(systemClock);
    using open = new DisposableStack();
    const ask = async (): Promise<"answered" | "closed"> => {
      const socket = open.adopt(connectTcp(fronted.front.port, "127.0.0.1"), (one) => one.destroy());
      const closed = closeOf(socket);
      socket.write("GET / HTTP/1.1\r\nHost: a\r\nWho: me\r\n\r\n");
      const answered = Promise.withResolvers<"answered">();
      socket.once("data", () => answered.resolve("answered"));
      return Promise.race([answered.promise, closed.then(() => "closed" as const)]);
    };
    expect([await ask(), await ask(), await ask()]).toEqual(["answered", "answered", "closed"]);
  });

  test("gives its places back when connections have ended", async () => {
    await using fronted = await startFront(systemClock);
    const sockets = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const socket = connectTcp(fronted.front.port, "127.0.0.1");
        socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        await once(socket, "data");
        return socket;
      }),
    );
    expect(fronted.budget.sockets).toBe(30);
    for (const socket of sockets) socket.destroy();
    await eventually(2_000, async () => expect(fronted.budget.sockets).toBe(0));
  });
});

test("an entrance counts connections while many files are open, and what is open stays", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(tempDir("entrance"));
  const behind = join(dir.path, "s");
  const server = Bun.serve({ unix: behind, fetch: fetchBehind });
  stack.defer(() => server.stop(true));
  const clock = clockOf(100);
  const budget = budgetOf(clock);
  const log = silentLog();
  const entrance = stack.use(
    openEntrance({
      address: "127.0.0.1",
      port: 0,
      behind,
      budget,
      clock,
      log,
      openFiles: 20_000,
      identify: () => undefined,
      serveDirectly: (port) => Bun.serve({ hostname: "127.0.0.1", port, fetch: fetchBehind }),
    }),
  );
  const url = `http://127.0.0.1:${entrance.port}`;
  const ask = async (): Promise<string> => (await fetch(url, { headers: { connection: "close" } })).text();
  const under = (await fetch(`${url}/large`)).body?.getReader();
  expect([(await under?.read())?.done, await ask(), budget.sockets]).toEqual([false, "ok", 0]);

  const files = Array.from({ length: 1_200 }, () => openSync("/dev/null", "r"));
  await eventually(5_000, async () => expect(log.lines.join("")).toContain("many connections are open"));
  const held = connectTcp(entrance.port, "127.0.0.1");
  await once(held, "connect");
  await eventually(5_000, async () => expect(budget.sockets).toBeGreaterThan(0));
  expect(await ask()).toBe("ok");
  let size = 0;
  for (let next = await under?.read(); next?.value; next = await under?.read()) size += next.value.length;
  expect(size).toBeGreaterThan(piece.length);

  for (const file of files) closeSync(file);
  await eventually(5_000, async () =>
    expect(log.lines.join("")).toContain("number of connections is back to normal"),
  );
  expect(await ask()).toBe("ok");
  held.destroy();
}, 20_000);
