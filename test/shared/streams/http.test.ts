import { expect, test } from "bun:test";
import { fetchOver, serveOver, type RequestHead } from "#shared/streams";
import { link, type Linked } from "./linked.ts";

const head = (method: string, path = "/"): RequestHead => ({
  service: "web",
  method,
  path,
  headers: [["x-a", "1"]],
});

/** Serves the next stream at the node. */
async function serve(ends: Linked, answer: (request: Request) => Promise<Response>): Promise<void> {
  await serveOver(await ends.atNode(), "http://127.0.0.1", answer);
}

test("a request and its response cross a stream whole", async () => {
  await using ends = await link();
  void serve(ends, async (request) => {
    const { pathname, search } = new URL(request.url);
    const text = `${request.method} ${pathname}${search} ${request.headers.get("x-a")} ${await request.text()}`;
    return new Response(text, { status: 201, headers: { "x-b": "2", connection: "x-c", "x-c": "3" } });
  });
  const body = new Response("question").body;
  const response = await fetchOver(ends.cloud.open(head("POST", "/p?q=1")), body);
  expect([response.status, response.headers.get("x-b"), response.headers.get("x-c")]).toEqual([
    201,
    "2",
    null,
  ]);
  expect(await response.text()).toBe("POST /p?q=1 1 question");
});

test("a body of 64 MiB passes in both directions without a copy of it in memory", async () => {
  await using ends = await link();
  const size = 64 * 1024 * 1024;
  let sent = 0;
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) => {
        controller.enqueue(new Uint8Array(64 * 1024));
        sent += 64 * 1024;
        if (sent === size) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  void serve(ends, async (request) => new Response(request.body));
  const response = await fetchOver(ends.cloud.open(head("POST")), body);
  let received = 0;
  let furthestAhead = 0;
  for await (const bytes of response.body ?? []) {
    received += bytes.length;
    furthestAhead = Math.max(furthestAhead, sent - received);
  }
  expect(received).toBe(size);
  expect(furthestAhead).toBeLessThan(2 * 1024 * 1024);
});

test("a body keeps each of its bytes although memory is freed behind them", async () => {
  await using ends = await link();
  const pieces = [1, 70_000, 8192, 32_768, 32_763, 300_000, 512 * 1024].map((size, at) =>
    Uint8Array.from({ length: size }, (_, index) => (index * 31 + at) % 251),
  );
  const whole = new Bun.SHA256().update(Buffer.concat(pieces)).digest("hex");
  void serve(ends, async (request) => new Response(request.body));
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  const response = await fetchOver(ends.cloud.open(head("POST")), body);
  expect(new Bun.SHA256().update(await response.bytes()).digest("hex")).toBe(whole);
});

test("a part of a buffer that others may use is left alone when it was sent", async () => {
  await using ends = await link();
  const buffer = new Uint8Array(100_000).fill(7);
  void serve(ends, async (request) => new Response(String((await request.bytes()).length)));
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(buffer.subarray(0, 60_000));
      controller.close();
    },
  });
  const response = await fetchOver(ends.cloud.open(head("POST")), body);
  expect([await response.text(), buffer.length, buffer[0]]).toEqual(["60000", 100_000, 7]);
});

test("parts of a response arrive as they are sent", async () => {
  await using ends = await link();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  void serve(
    ends,
    async () =>
      new Response(
        (async function* events() {
          yield new TextEncoder().encode("data: 1\n\n");
          await released;
          yield new TextEncoder().encode("data: 2\n\n");
        })(),
      ),
  );
  const response = await fetchOver(ends.cloud.open(head("GET")), null);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  expect((await reader?.read())?.value).toBe("data: 1\n\n");
  release();
  expect((await reader?.read())?.value).toBe("data: 2\n\n");
});

test("a client that leaves aborts the request at the server", async () => {
  await using ends = await link();
  const { promise: aborted, resolve } = Promise.withResolvers<string>();
  void serve(ends, async (request) => {
    request.signal.addEventListener("abort", () => resolve(String(request.signal.reason)));
    return new Response(new ReadableStream());
  });
  const client = new AbortController();
  const asking = fetchOver(ends.cloud.open(head("GET")), null, client.signal);
  await asking;
  client.abort();
  expect(await aborted).toContain("the request was aborted");
});

test("a server that fails resets the stream with its reason", async () => {
  await using ends = await link();
  void serve(ends, async () => {
    throw new Error("port 80 is not allowed");
  });
  await expect(fetchOver(ends.cloud.open(head("GET")), null)).rejects.toThrow("port 80 is not allowed");
});

test.each([204, 304])("a response of status %d has no body", async (status) => {
  await using ends = await link();
  void serve(ends, async () => new Response(null, { status }));
  const response = await fetchOver(ends.cloud.open(head("GET")), null);
  expect([response.status, response.body]).toEqual([status, null]);
});

test("a head that is not of HTTP is refused", async () => {
  await using ends = await link();
  void serve(ends, async () => new Response("never"));
  await expect(fetchOver(ends.cloud.open({ service: "web" }), null)).rejects.toThrow(
    "not that of an HTTP request",
  );
});
