import { expect, setDefaultTimeout, test } from "bun:test";
import { SpdySession, type SpdyConnection, type SpdyStream } from "#shared/spdy";

setDefaultTimeout(30_000);

interface Pair {
  readonly client: SpdySession;
  /** The connection of the client is over, although what came may not be read yet. */
  readonly closed: PromiseWithResolvers<string | undefined>;
}

function connected(serve: (stream: SpdyStream, server: SpdySession) => Promise<void>): Pair {
  const toServer = new TransformStream<Uint8Array, Uint8Array>();
  const toClient = new TransformStream<Uint8Array, Uint8Array>();
  const closed = Promise.withResolvers<string | undefined>();
  const end = (
    readable: SpdyConnection["readable"],
    writable: SpdyConnection["writable"],
    over: Promise<unknown>,
  ): SpdyConnection => ({
    readable,
    writable,
    closed: over,
    destroy: () => undefined,
  });
  const server: SpdySession = new SpdySession({
    connection: end(toServer.readable, toClient.writable, new Promise(() => undefined)),
    mostStreams: 4,
    onStream: (stream) => void serve(stream, server),
  });
  const client = new SpdySession({
    connection: end(toClient.readable, toServer.writable, closed.promise),
    mostStreams: 0,
  });
  return { client, closed };
}

const header = (name: string): ReadonlyMap<string, string> => new Map([["streamtype", name]]);

test("what a server sent before it ended the connection is read, although it did not end its streams", async () => {
  const { client, closed } = connected(async (stream, server) => {
    if (stream.headers.get("streamtype") !== "error") return;
    await stream.writable.getWriter().write(Buffer.from("status"));
    await server.close();
  });
  const output = await client.open(header("stdout"));
  const errors = await client.open(header("error"));
  closed.resolve(undefined);
  const texts = await Promise.all([output, errors].map(({ readable }) => new Response(readable).text()));
  expect(texts).toEqual(["", "status"]);
  await client.closed;
});

test("what a server sent before it reset a stream is read", async () => {
  const { client } = connected(async (stream) => {
    await stream.writable.getWriter().write(Buffer.from("output"));
    stream.reset();
  });
  const stream = await client.open(header("stdout"));
  expect(await new Response(stream.readable).text()).toBe("output");
});

test("a connection that is lost ends the streams with its reason", async () => {
  const { client, closed } = connected(async () => undefined);
  const stream = await client.open(header("stdout"));
  closed.resolve("the tunnel is lost");
  expect(new Response(stream.readable).text()).rejects.toThrow("the tunnel is lost");
});

test("a connection that is lost refuses a stream that is still being asked for", async () => {
  const closed = Promise.withResolvers<string>();
  const client = new SpdySession({
    connection: {
      readable: new ReadableStream(),
      // Nothing is ever taken.
      writable: new WritableStream({ write: () => new Promise(() => undefined) }),
      closed: closed.promise,
      destroy: () => undefined,
    },
    mostStreams: 0,
  });
  const opening = client.open(header("stdout"));
  closed.resolve("the tunnel is lost");
  expect(opening).rejects.toThrow("the tunnel is lost");
});
