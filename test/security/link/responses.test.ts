import { expect, test } from "bun:test";
import { fetchOver, serveOver } from "#shared/streams";
import { link } from "#internal/test/shared/streams/linked.ts";
import { frame } from "./stream-frames.ts";

/** What a peer sends as the head of a response. */
function block(head: unknown, size?: number): Buffer {
  const bytes = Buffer.from(typeof head === "string" ? head : JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(size ?? bytes.length);
  return Buffer.concat([length, bytes]);
}

test.each([
  ["no JSON", block("{")],
  ["null", block("null")],
  ["a length of 4 GiB", block("", 0xffff_ffff)],
  ["a head of 64 KiB and one byte", block("x".repeat(65_537))],
  ["status 101", block({ status: 101, headers: [] })],
  ["status 1e3", block({ status: 1e3, headers: [] })],
  ["a header that is no pair", block({ status: 200, headers: [["a"]] })],
  ["a header with a line break", block({ status: 200, headers: [["a", "b\r\nset-cookie: c"]] })],
  ["a name with a line break", block({ status: 200, headers: [["a\r\nb", "c"]] })],
  ["a name that is empty", block({ status: 200, headers: [["", "c"]] })],
] as const)("a response with %s is a protocol error and gives the stream back", async (_what, bytes) => {
  await using ends = await link();
  for (let turn = 0; turn < 3; turn += 1) {
    const asking = fetchOver(ends.cloud.open({ service: "x" }), null);
    await ends.atNode();
    for (let at = 0; at < bytes.length; at += 32_768)
      ends.raw(frame("data", 2 + 2 * turn, bytes.subarray(at, at + 32_768)));
    expect(await asking.catch((error: unknown) => error)).toMatchObject({
      code: expect.stringMatching(/bad-response-head|block-too-long/),
    });
  }
  expect(ends.cloud.size).toBe(0);
});

test("an answer whose head is too long, or whose asker has gone, is not left open", async () => {
  await using ends = await link();
  let cancelled = 0;
  const endless = (): ReadableStream<Uint8Array> =>
    new ReadableStream<Uint8Array>({ cancel: () => void (cancelled += 1) }, { highWaterMark: 0 });
  const request = { service: "x", method: "GET", path: "/", headers: [] };
  const long = { "x-long": "y".repeat(70_000) };
  const asking = fetchOver(ends.cloud.open(request), null);
  await serveOver(await ends.atNode(), "http://h", async () => new Response(endless(), { headers: long }));
  await expect(asking).rejects.toThrow("the head of an answer is too long");
  const gone = ends.cloud.open(request);
  const served = await ends.atNode();
  await serveOver(served, "http://h", async () => {
    gone.reset("gone");
    await served.closed;
    return new Response(endless());
  });
  expect(cancelled).toBe(2);
});

test("a status text with a line break is left out", async () => {
  await using ends = await link();
  const asking = fetchOver(ends.cloud.open({ service: "x" }), null);
  await ends.atNode();
  ends.raw(frame("data", 2, block({ status: 200, statusText: "OK\r\nset-cookie: a=b", headers: [] })));
  expect((await asking).statusText).toBe("");
});

test("a request whose body never ends gives its stream back once it is answered", async () => {
  await using ends = await link();
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({ cancel: () => void (cancelled = true) });
  const stream = ends.cloud.open({ service: "x", method: "POST", path: "/", headers: [] });
  const asking = fetchOver(stream, endless);
  void serveOver(await ends.atNode(), "http://h", async () => new Response("too many", { status: 429 }));
  expect(await (await asking).text()).toBe("too many");
  await stream.closed;
  expect([ends.cloud.size, cancelled]).toEqual([0, true]);
}, 5000);
