import { expect, test } from "bun:test";
import { UsageStreams } from "#internal/edge/edged/node/usage/usage-streams.ts";
import { readBlocks, type ByteStream } from "#shared/streams";
import { readUsage, usageService, type ContainerCounters, type UsageCounters } from "#shared/usage";
import { link, type Linked } from "#internal/test/shared/streams/linked.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";

const container = (id: string, cpuNanoseconds: number): ContainerCounters => ({
  id,
  container: "web",
  pod: "p",
  namespace: "default",
  podUid: "uid-1",
  cpuNanoseconds,
  workingSetBytes: 4096,
  usageBytes: 8192,
  rssBytes: 4096,
  cacheBytes: 4096,
});

interface World extends AsyncDisposable {
  readonly clock: FakeClock;
  readonly linked: Linked;
  readonly streams: UsageStreams;
  /** What the kernel counts. */
  counters: Omit<UsageCounters, "atMs">;
  /** How often it was measured. */
  measured: number;
  /** A stream of the cloud, taken by the node. */
  open(): Promise<ByteStream>;
}

async function world(): Promise<World> {
  const clock = new FakeClock();
  const linked = await link();
  const made: World = {
    clock,
    linked,
    counters: { node: { cpuNanoseconds: 0, workingSetBytes: 1000 }, containers: [container("c1", 0)] },
    measured: 0,
    streams: new UsageStreams({
      clock,
      measure: async () => {
        made.measured += 1;
        return { atMs: clock.monotonicMs(), ...made.counters };
      },
    }),
    open: async () => {
      const stream = linked.cloud.open({ service: usageService });
      made.streams.take(await linked.atNode());
      return stream;
    },
    [Symbol.asyncDispose]: async () => {
      await made.streams[Symbol.asyncDispose]();
      await linked[Symbol.asyncDispose]();
    },
  };
  return made;
}

test("nothing is measured while nobody asks", async () => {
  await using at = await world();
  await at.clock.advance(60_000);
  expect(at.measured).toBe(0);
});

test("the first report covers a second, the next fifteen", async () => {
  await using at = await world();
  const reports = readBlocks((await at.open()).readable);
  at.counters = {
    node: { cpuNanoseconds: 5e8, workingSetBytes: 2000 },
    containers: [container("c1", 1e8), container("c2", 7)],
  };
  await at.clock.advance(1000);
  const web = { cpuNanoCores: 1e8, memoryBytes: 4096 };
  expect(readUsage((await reports.next()).value)).toEqual({
    ok: true,
    report: {
      windowMs: 1000,
      node: { cpuNanoCores: 5e8, memoryBytes: 2000 },
      pods: new Map([["uid-1", new Map([["web", web]])]]),
    },
  });
  await at.clock.advance(15_000);
  expect(readUsage((await reports.next()).value)).toMatchObject({ report: { windowMs: 15_000 } });
});

test("measuring ends when the cloud ends the stream", async () => {
  await using at = await world();
  const stream = await at.open();
  const reports = readBlocks(stream.readable);
  await at.clock.advance(1000);
  await reports.next();
  stream.reset("nobody asks any more");
  await stream.closed;
  await at.streams[Symbol.asyncDispose]();
  const { measured } = at;
  await at.clock.advance(60_000);
  expect(at.measured).toBe(measured);
});

test("a second stream ends the first", async () => {
  await using at = await world();
  const first = await at.open();
  await at.open();
  expect(await first.closed).toEqual({ reason: "another stream reports usage" });
});
