import { expect, test } from "bun:test";
import { deflateSync } from "node:zlib";
import { headerDictionary } from "#internal/shared/spdy/dictionary.ts";
import { encodeControl, frameTypes, numbers } from "#internal/shared/spdy/frame.ts";
import { PlayedClient } from "#internal/test/shared/spdy/played-client.ts";
import { nextTurn } from "#shared/clock";
import { SpdySession } from "#shared/spdy";

function play(mostStreams = 128): { readonly client: PlayedClient; readonly session: SpdySession } {
  const client = new PlayedClient();
  const session = new SpdySession({ connection: client.connection, mostStreams, onStream: () => undefined });
  return { client, session };
}

/** How many of the writes are taken before the client has to wait. */
async function taken(writes: readonly Promise<void>[]): Promise<number> {
  let [count, before] = [0, -1];
  for (const write of writes) write.then(() => (count += 1)).catch(() => undefined);
  // It waits once a whole turn passes without one more.
  for (let calm = 0; calm < 20; calm += 1) {
    await nextTurn();
    if (count !== before) calm = 0;
    before = count;
  }
  return count;
}

test("headers that inflate to megabytes end the session", async () => {
  const { client, session } = play();
  using _client = client;
  const bomb = deflateSync(Buffer.alloc(14_000_000), { dictionary: headerDictionary() });
  const block = Buffer.concat([numbers(1, 0), Buffer.from([0, 0]), bomb]);
  await client.send(encodeControl(frameTypes.synStream, block));
  expect((await session.closed).reason).toContain("16384 bytes");
});

test("thousands of streams are refused, and the session goes on", async () => {
  const { client } = play(5);
  using _client = client;
  const answers = new Map<string, number>();
  const all = 5000;
  const opened = (async () => {
    for (let index = 0; index < all; index += 1) await client.open(2 * index + 1, { streamtype: "data" });
  })();
  for (let index = 0; index < all; index += 1) {
    const [kind = ""] = (await client.next()).split(" ");
    answers.set(kind, (answers.get(kind) ?? 0) + 1);
  }
  await opened;
  expect(Object.fromEntries(answers)).toEqual({ synReply: 5, reset: all - 5 });
  await client.ping(1);
  expect(await client.next()).toBe("ping 1");
}, 20_000);

test("a client that reads no answers is not read either", async () => {
  const { client } = play();
  using _client = client;
  const pings = Array.from({ length: 1000 }, (_none, index) => client.ping(2 * index + 1));
  expect(await taken(pings)).toBeLessThan(100);
});

test("data of one byte each is held in small number for a process that does not read", async () => {
  const { client } = play();
  using _client = client;
  await client.open(1, { streamtype: "stdin" });
  await client.next();
  const sent = Array.from({ length: 1000 }, () => client.data(1, "x"));
  expect(await taken(sent)).toBeLessThan(100);
});
