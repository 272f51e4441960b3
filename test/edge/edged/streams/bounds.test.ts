import { expect, test } from "bun:test";
import { PodStreams, type PodStreamsOptions } from "#edge/edged/streams";
import type { OutputChunk } from "#edge/runtime";
import { UnavailableError } from "#shared/errors";
import { askPod, podStreamHead, PodRefusal } from "#shared/pod-streams";
import type { ByteStream } from "#shared/streams";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeRuntime } from "#internal/test/support/fake/fake-runtime.ts";
import { podOf, shell } from "#internal/test/support/edge/edged-world.ts";

const pod = podOf("web", { containers: [shell("image", "true")] });
const containerID = "docker://c1";
const status = {
  containerStatuses: [
    { name: "c", state: { running: {} }, containerID, ready: true, restartCount: 0, image: "", imageID: "" },
  ],
};
const follow = podStreamHead({
  namespace: "default",
  name: "web",
  kind: "logs",
  container: "c",
  follow: true,
});
const piece = new Uint8Array(32 * 1024);

interface World extends AsyncDisposable {
  readonly linked: Linked;
  readonly streams: PodStreams;
  readonly open: () => Promise<ByteStream>;
}

/** A node whose containers write what `logs` yields. */
async function world(
  logs: () => AsyncIterable<OutputChunk>,
  more: Partial<PodStreamsOptions> = {},
): Promise<World> {
  const clock = new FakeClock();
  const fake = new FakeRuntime(clock);
  const details = { id: "c1" } as NonNullable<Awaited<ReturnType<FakeRuntime["inspect"]>>>;
  const runtime = Object.assign(fake, { logs, inspect: async () => details });
  const streams = new PodStreams({ runtime, clock, findPod: () => ({ pod, status }), ...more });
  const linked = await link();
  return {
    linked,
    streams,
    open: async () => {
      const stream = linked.cloud.open(follow);
      streams.take(await linked.atNode());
      return stream;
    },
    [Symbol.asyncDispose]: async () => {
      await linked[Symbol.asyncDispose]();
      await streams[Symbol.asyncDispose]();
    },
  };
}

async function* endless(count: { pieces: number }, most = Infinity): AsyncGenerator<OutputChunk> {
  while (count.pieces < most) {
    count.pieces += 1;
    yield { stream: "stdout", bytes: piece };
  }
}

test("a log that nobody reads is read from the engine no further, while others go on", async () => {
  const counts = [{ pieces: 0 }, { pieces: 0 }];
  let next = 0;
  await using at = await world(() => endless(counts[next++] ?? { pieces: 0 }, 256));
  await askPod(await at.open());
  const read = await new Response(await askPod(await at.open())).bytes();
  expect(read.length).toBe(256 * piece.length);
  // Two windows of a stream and what is joined: 256 KiB at either end, 128 KiB in between.
  expect((counts[0]?.pieces ?? 0) * piece.length).toBeLessThanOrEqual(768 * 1024);
});

test("a node serves so many streams of its pods, and takes further ones when they end", async () => {
  await using at = await world(() => endless({ pieces: 0 }), { mostStreams: 1 });
  const first = await at.open();
  await askPod(first);
  const error = await askPod(await at.open()).catch((thrown: unknown) => thrown);
  expect(error).toEqual(
    new PodRefusal(429, "TooManyRequests", "this node serves 1 streams of its pods already, try again later"),
  );
  first.reset("enough");
  await first.closed;
  let answer = await askPod(await at.open()).catch(() => undefined);
  while (!answer) answer = await askPod(await at.open()).catch(() => undefined);
  expect(at.streams.size).toBe(1);
});

test("streams end with the reason when edgecore shuts down", async () => {
  await using at = await world(() => endless({ pieces: 0 }));
  const stream = await at.open();
  await askPod(stream);
  await at.streams[Symbol.asyncDispose]();
  expect(await stream.closed).toEqual({ reason: "edgecore shuts down" });
});

test("an engine that fails later ends the stream with its words, one that is away refuses it", async () => {
  const broken = async function* (): AsyncGenerator<OutputChunk> {
    yield { stream: "stdout", bytes: piece };
    throw new UnavailableError("engine-away", "the container engine does not answer");
  };
  await using at = await world(broken);
  const stream = await at.open();
  const text = askPod(stream).then((readable) => new Response(readable).text());
  expect(await text.catch(String)).toBe("ClosedError: the container engine does not answer");
  const away = new FakeRuntime(new FakeClock());
  away.unreachable = true;
  await using other = await world(broken, { runtime: away });
  expect(await askPod(await other.open()).catch((thrown: unknown) => thrown)).toEqual(
    new PodRefusal(503, "ServiceUnavailable", "the container engine does not answer"),
  );
});
