import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { startBus } from "./bus-harness.ts";

/** A server that answers with these bytes, again and again if `isEndless`, and hangs up otherwise. */
async function answering(
  bytes: string,
  isEndless: boolean,
): Promise<AsyncDisposable & { readonly port: number }> {
  const listener = createServer((socket) => {
    const write = (): void => {
      while (!socket.destroyed && socket.write(bytes.repeat(1000)));
    };
    socket.on("error", () => undefined);
    socket.on("drain", write);
    socket.once("data", () => (isEndless ? write() : socket.end(bytes)));
  });
  await new Promise<void>((resolve) => void listener.listen(0, "127.0.0.1", resolve));
  const place = listener.address();
  return {
    port: typeof place === "object" && place ? place.port : 0,
    [Symbol.asyncDispose]: () => new Promise((resolve) => void listener.close(() => resolve())),
  };
}

const ok = "HTTP/1.1 200 OK\r\n";

test.each<
  [string, string, { readonly status: number; readonly text?: string; readonly isEndless?: boolean }]
>([
  ["no length, as HTTP/1.0 has it", "HTTP/1.0 200 OK\r\n\r\nok", { status: 200, text: "ok" }],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", { status: 502 }],
  ["endless headers", "x-a: bbbbbbbbbbbbbbbb\r\n", { status: 502, isEndless: true }],
  ["an endless header", "bbbbbbbbbbbbbbbb", { status: 502, isEndless: true }],
  ["interim answers without end", "HTTP/1.1 100 Continue\r\n\r\n", { status: 504, isEndless: true }],
  ["a status that HTTP has not", "HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok", { status: 502 }],
  [
    "an upgrade nobody asked for",
    "HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    { status: 502 },
  ],
  ["two lengths", `${ok}Content-Length: 2\r\nContent-Length: 5\r\n\r\nokabc`, { status: 502 }],
  ["less than its length", `${ok}Content-Length: 20\r\n\r\nok`, { status: 502 }],
  ["a chunk that is none", `${ok}Transfer-Encoding: chunked\r\n\r\nZZ\r\nok\r\n`, { status: 502 }],
  [
    "a second answer behind the first",
    `${ok}Content-Length: 2\r\n\r\nok${ok}Content-Length: 4\r\n\r\nevil`,
    { status: 200, text: "ok" },
  ],
])("an answer with %s harms nobody", async (_name, bytes, expected) => {
  const { status, text, isEndless = false } = expected;
  await using server = await answering(bytes, isEndless);
  await using bus = await startBus({ allowedPorts: [server.port], timeoutMs: 500 });
  const reply = await bus.call({ port: server.port });
  const body = Buffer.from(reply.body).toString();
  expect([reply.status, text ?? body.includes('"reason"')]).toEqual([
    status,
    text === undefined ? true : body,
  ]);
  expect(body).not.toContain("For more information");
});
