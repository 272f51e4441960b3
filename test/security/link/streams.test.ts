import { expect, test } from "bun:test";
import type { ByteStream } from "#shared/streams";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import { credit, frame, open } from "./stream-frames.ts";

/** The peer's frames so far have arrived. */
async function settled(ends: Linked): Promise<void> {
  ends.raw(open(0x7fff_ffff, { service: "mark" }));
  for (;;) {
    const stream = await ends.atCloud();
    if (stream.head.service !== "mark") continue;
    stream.reset("seen");
    return;
  }
}

function memory(): number {
  Bun.gc(true);
  return process.memoryUsage().rss / 2 ** 20;
}

test("data of no bytes, which costs no credit, does not pile up", async () => {
  await using ends = await link();
  ends.raw(open(1));
  await ends.atCloud();
  const before = memory();
  const empty = frame("data", 1);
  for (let turn = 0; turn < 500_000; turn += 1) ends.raw(empty);
  await settled(ends);
  expect(memory() - before).toBeLessThan(50);
}, 60_000);

test("data of one byte each takes no more memory than the window", async () => {
  await using ends = await link();
  const before = memory();
  const streams: ByteStream[] = [];
  for (let id = 1; id <= 7; id += 2) {
    ends.raw(open(id));
    streams.push(await ends.atCloud());
    for (let turn = 0; turn < 256 * 1024; turn += 1) ends.raw(frame("data", id, "x"));
    await settled(ends);
  }
  // A million frames kept one by one would be 200 MiB and more.
  expect(memory() - before).toBeLessThan(100);
  for (let id = 1; id <= 7; id += 2) ends.raw(frame("end", id));
  const texts = await Promise.all(streams.map((stream) => new Response(stream.readable).text()));
  expect(texts.map((text) => text.length)).toEqual([262_144, 262_144, 262_144, 262_144]);
}, 60_000);

test("256 streams that nobody reads take their windows and no more", async () => {
  await using ends = await link();
  const before = memory();
  const chunk = Buffer.alloc(32 * 1024, 1);
  for (let index = 0; index < 255; index += 1) {
    ends.raw(open(2 * index + 1));
    await ends.atCloud();
    for (let turn = 0; turn < 8; turn += 1) ends.raw(frame("data", 2 * index + 1, chunk));
  }
  await settled(ends);
  expect(memory() - before).toBeLessThan(150);
}, 60_000);

test("100,000 streams leave nothing behind", async () => {
  await using ends = await link();
  const round = async (count: number): Promise<void> => {
    for (let turn = 0; turn < count; turn += 1) {
      const asked = ends.cloud.open({ service: "x" });
      const served = await ends.atNode();
      if (turn % 3 === 0) served.reset("no");
      else if (turn % 3 === 1) asked.reset("never mind");
      else {
        await served.writable.close();
        await asked.writable.close();
        await Promise.all([new Response(asked.readable).text(), new Response(served.readable).text()]);
      }
      await Promise.all([asked.closed, served.closed]);
    }
  };
  await round(10_000);
  const before = memory();
  await round(90_000);
  expect([ends.cloud.size, ends.node.size]).toEqual([0, 0]);
  expect(memory() - before).toBeLessThan(40);
}, 120_000);

test("credit of nothing, for nobody and past all bounds harms no other stream", async () => {
  await using ends = await link();
  const victim = ends.cloud.open({ service: "x" });
  const good = ends.cloud.open({ service: "good" });
  await ends.atNode();
  const served = await ends.atNode();
  for (let turn = 0; turn < 1000; turn += 1) {
    ends.raw(credit(2, 0));
    ends.raw(credit(77, 1000));
  }
  ends.raw(credit(2, 0xffff_ffff));
  expect(await victim.closed).toEqual({ reason: "the peer gave more credit than there is" });
  ends.raw(credit(2, 0xffff_ffff));
  const writer = good.writable.getWriter();
  await writer.write(Buffer.from("hello"));
  await writer.close();
  expect(await new Response(served.readable).text()).toBe("hello");
  expect(ends.broken).toEqual([]);
});

test("data after the end resets the stream, and a second end has no effect", async () => {
  await using ends = await link();
  for (const id of [1, 3]) ends.raw(open(id));
  const [late, twice] = [await ends.atCloud(), await ends.atCloud()];
  ends.raw(frame("end", 1));
  ends.raw(frame("data", 1, "late"));
  ends.raw(frame("end", 3));
  ends.raw(frame("end", 3));
  expect(await late.closed).toEqual({ reason: "the peer sent more than it may" });
  expect(await new Response(twice.readable).text()).toBe("");
  await twice.writable.close();
  expect(await twice.closed).toEqual({ reason: undefined });
});

test("a peer that opens more than it may and reads nothing of the refusals loses the link", async () => {
  await using ends = await link();
  for (let index = 0; index < 256; index += 1) {
    ends.raw(open(2 * index + 1));
    await ends.atCloud();
  }
  ends.pauseNode();
  for (let index = 0; index < 400_000 && ends.broken.length === 0; index += 1) {
    ends.raw(open(1001 + 2 * index));
    if (index % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(ends.broken).toContain("the peer does not read");
}, 60_000);

test("streams that are opened and reset on a stalled link fill no memory, and are refused", async () => {
  await using ends = await link();
  ends.pauseNode();
  const head = { service: "x", path: "y".repeat(16_000) };
  const openAndLeave = (): void => ends.cloud.open(head).reset("never mind");
  expect(() => {
    for (let turn = 0; turn < 10_000; turn += 1) openAndLeave();
  }).toThrow("the link is too slow for another stream now");
  expect([ends.cloud.size, ends.broken]).toEqual([0, []]);
});
