import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import { boundsOf, ConnectionBudget, headerOf, openFront, type Front } from "#shared/connections";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const blanks = " ".repeat(60_000);

describe("the first head of a connection", () => {
  const stack = new AsyncDisposableStack();
  const heads: (string | undefined)[] = [];
  let front: Front;

  beforeAll(() => {
    const behind = join(stack.use(tempDir("slow-heads")).path, "s");
    const server = Bun.serve({ unix: behind, fetch: () => new Response("ok") });
    stack.defer(() => server.stop(true));
    const clock = systemClock;
    const budget = new ConnectionBudget({ ...boundsOf(20_000), hasFiles: () => true, clock });
    const identify = (head: string): undefined => void heads.push(headerOf(head, "Authorization"));
    front = stack.use(openFront({ address: "127.0.0.1", port: 0, behind, budget, clock, identify }));
  });
  afterAll(() => stack.disposeAsync());

  async function dial(): Promise<Socket> {
    const socket = connect(front.port, "127.0.0.1");
    await once(socket, "connect");
    return socket;
  }

  /** @returns how long others had to wait meanwhile, in milliseconds */
  async function send(socket: Socket, parts: Iterable<string>): Promise<number> {
    const answered = once(socket, "data");
    let slowest = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      slowest = Math.max(slowest, performance.now() - last);
      last = performance.now();
    }, 5);
    for (const part of parts) if (!socket.write(part)) await once(socket, "drain");
    await answered;
    clearInterval(timer);
    socket.destroy();
    return Math.max(slowest, performance.now() - last);
  }

  test("costs nothing however many blanks are in it", async () => {
    heads.length = 0;
    const head = `GET / HTTP/1.1\r\nHost: x\r\nAuthorization: x${blanks}y\r\n\r\n`;
    expect(await send(await dial(), [head])).toBeLessThan(1000);
    expect(heads).toEqual([`x${blanks}y`]);
  }, 60_000);

  test("is found when it comes byte by byte", async () => {
    heads.length = 0;
    const socket = await dial();
    socket.setNoDelay(true);
    const head = "GET / HTTP/1.1\r\nHost: x\r\nauthorization:\t Bearer abc \r\n\r\n";
    const answered = once(socket, "data");
    for (const byte of head) {
      socket.write(byte);
      await Bun.sleep(0);
    }
    await answered;
    socket.destroy();
    expect(heads).toEqual(["Bearer abc"]);
  });
});

test.each([
  ["Host: x\r\nAuthorization: a\r\nAuthorization: b", "a"],
  ["X-Authorization: a", undefined],
  ["Authorization : a", undefined],
  ["AUTHORIZATION:", ""],
])("header in %j is %j", (head, expected) => {
  expect(headerOf(head, "authorization")).toBe(expected);
});
