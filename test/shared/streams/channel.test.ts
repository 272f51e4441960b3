import { expect, test } from "bun:test";
import { ClosedError } from "#shared/errors";
import type { ByteStream } from "#shared/streams";
import { link } from "./linked.ts";

const head = { service: "echo", path: "/a" };
const bytes = (size: number, fill = 1): Uint8Array => new Uint8Array(size).fill(fill);

async function write(stream: ByteStream, ...chunks: Uint8Array[]): Promise<void> {
  const writer = stream.writable.getWriter();
  for (const chunk of chunks) await writer.write(chunk);
  await writer.close();
}

const read = async (stream: ByteStream): Promise<Buffer> =>
  Buffer.from(await new Response(stream.readable).arrayBuffer());

test("a stream carries its head and bytes in both directions, and ends when both have ended", async () => {
  await using ends = await link();
  const asked = ends.cloud.open(head);
  const served = await ends.atNode();
  expect(served.head).toEqual(head);
  const [, answer, question] = await Promise.all([
    write(asked, bytes(3), bytes(2, 2)),
    read(asked),
    read(served),
    write(served, bytes(1, 9)),
  ]);
  expect([[...question], [...answer]]).toEqual([[1, 1, 1, 2, 2], [9]]);
  expect([await asked.closed, await served.closed]).toEqual([{ reason: undefined }, { reason: undefined }]);
  expect([ends.cloud.size, ends.node.size]).toEqual([0, 0]);
});

test("both ends open streams at once, each with bytes of its own", async () => {
  await using ends = await link();
  const sizes = Array.from({ length: 40 }, (_, index) => 1000 * index + 1);
  const opened = sizes.map((size, index) => {
    const stream = (index % 2 === 0 ? ends.cloud : ends.node).open({ service: "echo", size });
    void write(stream, bytes(size, index));
    return stream;
  });
  const served = await Promise.all(
    sizes.map((_, index) => (index % 2 === 0 ? ends.atNode() : ends.atCloud())),
  );
  for (const stream of served) {
    const got = await read(stream);
    const index = sizes.indexOf(Number(stream.head["size"]));
    expect([got.length, got.every((byte) => byte === index)]).toEqual([sizes[index] ?? 0, true]);
    void write(stream);
  }
  await Promise.all(opened.map(read));
  expect([ends.cloud.size, ends.node.size]).toEqual([0, 0]);
});

test("a writer waits for its reader, and holds up no other stream", async () => {
  await using ends = await link();
  const slow = ends.cloud.open(head);
  const served = await ends.atNode();
  let sent = 0;
  const writer = slow.writable.getWriter();
  const writing = (async () => {
    for (let turn = 0; turn < 64; turn += 1) {
      await writer.write(bytes(32 * 1024));
      sent += 32 * 1024;
    }
    await writer.close();
  })();
  const other = ends.cloud.open(head);
  const otherServed = await ends.atNode();
  const [, got] = await Promise.all([write(other, bytes(1_000_000)), read(otherServed)]);
  expect([got.length, sent]).toEqual([1_000_000, 256 * 1024]);
  expect((await read(served)).length).toBe(2 * 1024 * 1024);
  await writing;
});

test("a reset ends both directions at both ends with its reason", async () => {
  await using ends = await link();
  const asked = ends.cloud.open(head);
  const served = await ends.atNode();
  const reading = read(asked);
  served.reset("no such port");
  await expect(reading).rejects.toThrow(ClosedError);
  expect([await asked.closed, await served.closed]).toEqual([
    { reason: "no such port" },
    { reason: "no such port" },
  ]);
  await expect(asked.writable.getWriter().write(bytes(1))).rejects.toThrow("no such port");
});

test("cancelling a reader and aborting a writer reset the stream", async () => {
  await using ends = await link();
  const first = ends.cloud.open(head);
  const firstServed = await ends.atNode();
  await first.readable.cancel("enough");
  expect(await firstServed.closed).toEqual({ reason: "enough" });
  const second = ends.cloud.open(head);
  const secondServed = await ends.atNode();
  await second.writable.abort(new Error("the client left"));
  expect(await secondServed.closed).toEqual({ reason: "the client left" });
});

test("all streams end when the link is lost, and none can be opened", async () => {
  await using ends = await link();
  const asked = ends.cloud.open(head);
  const served = await ends.atNode();
  const reading = read(served);
  ends.cut();
  await expect(reading).rejects.toThrow("the link is lost");
  expect(await asked.closed).toEqual({ reason: "the link is lost" });
  expect(() => ends.cloud.open(head)).toThrow("the link is lost");
});

test("no more than 256 streams are open at once", async () => {
  await using ends = await link();
  const streams = Array.from({ length: 256 }, () => ends.cloud.open(head));
  expect(() => ends.cloud.open(head)).toThrow("256 streams are open on this link");
  for (const stream of streams) stream.reset("over");
  expect(ends.cloud.size).toBe(0);
});

/** A frame as a peer that breaks the rules would send it. */
const frame = (type: number, id: number, payload: Uint8Array = new Uint8Array()): Uint8Array =>
  Buffer.concat([Buffer.from([type, 0, 0, id >> 8, id & 255]), payload]);

test.each([
  ["less than a header", Buffer.from([1, 0, 0])],
  ["an unknown type", frame(9, 1)],
  ["a head that is not JSON", frame(1, 1, Buffer.from("{"))],
  ["a head without service", frame(1, 1, Buffer.from("{}"))],
  ["a stream with the id of the other end", frame(1, 2, Buffer.from('{"service":"x"}'))],
  ["credit of three bytes", frame(3, 1, Buffer.from([1, 2, 3]))],
] as const)("%s breaks the link", async (_what, bad) => {
  await using ends = await link();
  ends.raw(bad);
  ends.raw(frame(1, 9, Buffer.from('{"service":"after"}')));
  expect((await ends.atCloud()).head.service).toBe("after");
  expect(ends.broken.length).toBe(1);
});

test("a peer that sends more than its credit loses the stream", async () => {
  await using ends = await link();
  ends.raw(frame(1, 1, Buffer.from('{"service":"x"}')));
  const served = await ends.atCloud();
  for (let turn = 0; turn < 9; turn += 1) ends.raw(frame(2, 1, bytes(32 * 1024)));
  expect(await served.closed).toEqual({ reason: "the peer sent more than it may" });
});
