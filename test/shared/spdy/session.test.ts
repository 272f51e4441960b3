import { expect, test } from "bun:test";
import { encodeControl, flagFin, frameTypes, numbers } from "#internal/shared/spdy/frame.ts";
import { SpdySession, type SpdyStream } from "#shared/spdy";
import { PlayedClient } from "./played-client.ts";

interface Played extends Disposable {
  readonly client: PlayedClient;
  readonly session: SpdySession;
  /** The next stream that the server was told of. */
  readonly next: () => Promise<SpdyStream>;
}

function play(mostStreams = 4): Played {
  const client = new PlayedClient();
  const streams = new TransformStream<SpdyStream, SpdyStream>(undefined, undefined, { highWaterMark: 100 });
  const writer = streams.writable.getWriter();
  const reader = streams.readable.getReader();
  const session = new SpdySession({
    connection: client.connection,
    mostStreams,
    onStream: (stream) => void writer.write(stream),
  });
  return {
    client,
    session,
    next: async () => {
      const { value } = await reader.read();
      if (!value) throw new Error("no stream");
      return value;
    },
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}

test("a stream is answered, read and written", async () => {
  using played = play();
  const { client } = played;
  await client.open(1, { StreamType: "stdin" });
  expect(await client.next()).toBe("synReply 1");
  const stream = await played.next();
  expect([...stream.headers]).toEqual([["streamtype", "stdin"]]);
  await client.data(1, "hello ");
  await client.data(1, "world", true);
  expect(await new Response(stream.readable).text()).toBe("hello world");
  const writer = stream.writable.getWriter();
  await writer.write(Buffer.from("answer"));
  await writer.close();
  expect([await client.next(), await client.next()]).toEqual(['data 1 "answer"', 'data 1 "" fin']);
});

test("a stream that the client opens as finished can be read to its end", async () => {
  using played = play();
  await played.client.open(1, { streamtype: "error" }, flagFin);
  expect(await new Response((await played.next()).readable).text()).toBe("");
});

test("pings with an odd id are answered, others are not", async () => {
  using played = play();
  await played.client.ping(2);
  await played.client.ping(7);
  expect(await played.client.next()).toBe("ping 7");
});

test("settings, windows and unknown frames are passed over", async () => {
  using played = play();
  const { client } = played;
  await client.send(encodeControl(frameTypes.settings, numbers(0)));
  await client.send(encodeControl(frameTypes.windowUpdate, numbers(1, 100)));
  await client.send(encodeControl(99, numbers(1)));
  await client.ping(1);
  expect(await client.next()).toBe("ping 1");
});

test("streams beyond the bound are refused, and one that ends makes room", async () => {
  using played = play(1);
  const { client } = played;
  await client.open(1, { streamtype: "a" });
  await client.open(3, { streamtype: "b" });
  expect([await client.next(), await client.next()]).toEqual(["synReply 1", "reset 3 3"]);
  await client.reset(1);
  await client.open(5, { streamtype: "c" });
  expect(await client.next()).toBe("synReply 5");
});

test("a client that resets a stream ends its readers and writers", async () => {
  using played = play();
  await played.client.open(1, { streamtype: "a" });
  const stream = await played.next();
  await played.client.reset(1);
  expect(new Response(stream.readable).text()).rejects.toThrow("the peer reset the stream (5)");
  expect(stream.writable.getWriter().closed).rejects.toThrow("the peer reset the stream (5)");
});

test("an id that is used again ends the session", async () => {
  using played = play();
  const { client, session } = played;
  await client.open(3, { streamtype: "a" });
  expect(await client.next()).toBe("synReply 3");
  await client.open(3, { streamtype: "a" });
  expect(await client.next()).toBe("goAway 3 1");
  expect(await session.closed).toEqual({ reason: "stream 3 cannot follow stream 3" });
  expect(await client.next()).toBe("end");
});

test("a stream whose reader waits holds up the client, and goes on when it is read", async () => {
  using played = play();
  const { client } = played;
  await client.open(1, { streamtype: "stdin" });
  const stream = await played.next();
  const sent = Array.from({ length: 20 }, () => client.data(1, Buffer.alloc(32 * 1024)));
  const all = Promise.all(sent).then(() => "sent");
  await client.next();
  expect(await Promise.race([all, Bun.sleep(0).then(() => "waits")])).toBe("waits");
  const reader = stream.readable.getReader();
  let bytes = 0;
  while (bytes < 20 * 32 * 1024) bytes += (await reader.read()).value?.length ?? 0;
  expect(await all).toBe("sent");
});

test("a client that leaves while a stream is not read ends the session", async () => {
  using played = play();
  const { client, session } = played;
  await client.open(1, { streamtype: "stdin" });
  const stream = await played.next();
  for (let sent = 0; sent < 4; sent += 1) client.data(1, Buffer.alloc(64 * 1024)).catch(() => undefined);
  client.leave();
  await session.closed;
  expect(stream.writable.getWriter().closed).rejects.toThrow("the peer has gone");
});

test("closing says so to the client, and then ends the connection", async () => {
  using played = play();
  await played.session.close();
  expect([await played.client.next(), await played.client.next()]).toEqual(["goAway 0 0", "end"]);
});
