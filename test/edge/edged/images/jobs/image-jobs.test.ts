import { expect, test } from "bun:test";
import { checkItem, ImageJobs } from "#edge/edged/images/jobs";
import { imageJobService } from "#shared/image-jobs";
import { encodeBlock, openLocalStream, readBlocks, type ByteStream } from "#shared/streams";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const request = { job: "job", images: ["a:1", "b:1"], dockerConfigs: ["{}"], retryTimes: 0, checkItems: [] };

function world(pull: (ref: string, configs: readonly string[], signal: AbortSignal) => Promise<void>) {
  const clock = new FakeClock();
  const check = async (item: string): Promise<string | undefined> =>
    item === "full" ? "the disk is full" : undefined;
  const jobs = new ImageJobs({ clock, log: silentLog(), pull, check });
  const open = async (value: unknown): Promise<ByteStream> => {
    const stream = openLocalStream({ service: imageJobService }, (far) => jobs.take(far));
    await stream.writable.getWriter().write(encodeBlock(value));
    return stream;
  };
  return { clock, jobs, open };
}

test("each image is pulled in turn and reported, and one that fails fails the job", async () => {
  const pulled: string[] = [];
  const { jobs, open } = world(async (ref, configs) => {
    pulled.push(`${ref} ${configs.join()}`);
    if (ref === "a:1") throw new Error("no such image");
  });
  await using _jobs = jobs;
  const stream = await open(request);
  expect(await Array.fromAsync(readBlocks(stream.readable))).toEqual([
    { kind: "state", state: "Checking" },
    { kind: "state", state: "Pulling" },
    { kind: "image", image: { image: "a:1", state: "Failed", reason: "no such image" } },
    { kind: "image", image: { image: "b:1", state: "Successful" } },
    { kind: "end", failure: { event: "Pull", reason: "pull image failed, err: no such image" } },
  ]);
  expect(pulled).toEqual(["a:1 {}", "b:1 {}"]);
});

test("a pull is repeated as often as the job says, with waits between", async () => {
  const calls: string[] = [];
  const { clock, jobs, open } = world(async (ref) => {
    calls.push(ref);
    if (calls.length < 3) throw new Error("busy");
  });
  await using _jobs = jobs;
  const stream = await open({ ...request, images: ["a:1"], retryTimes: 2 });
  const reports = Array.fromAsync(readBlocks(stream.readable));
  while (calls.length < 3) {
    await clock.advance(1000);
    await Bun.sleep(1);
  }
  expect((await reports).at(-1)).toEqual({ kind: "end" });
});

test("a machine that does not pass a check pulls nothing", async () => {
  const { jobs, open } = world(async () => {
    throw new Error("pulled");
  });
  await using _jobs = jobs;
  const stream = await open({ ...request, checkItems: ["cpu", "full"] });
  expect((await Array.fromAsync(readBlocks(stream.readable))).at(-1)).toEqual({
    kind: "end",
    failure: { event: "Check", reason: "the disk is full" },
  });
});

test("a stream that ends aborts the pull, and one that is no job is reset", async () => {
  const aborted = Promise.withResolvers<unknown>();
  const started = Promise.withResolvers<void>();
  const { jobs, open } = world(async (_ref, _configs, signal) => {
    signal.addEventListener("abort", () => aborted.resolve(signal.reason));
    started.resolve();
    await aborted.promise;
    throw signal.reason;
  });
  await using _jobs = jobs;
  const stream = await open(request);
  await started.promise;
  stream.reset("the job was deleted");
  expect(String(await aborted.promise)).toContain("the job was deleted");
  const wrong = await open({ job: 7 });
  expect((await wrong.closed).reason).toContain("the cloud sent no job for images");
});

const disk = (percent: number) => ({ capacityBytes: 1000, availableBytes: 1000 - percent * 10 });

test.each([
  ["cpu", 81, "current cpu usage is 81.0, which exceeds the maximum allowed usage 80"],
  ["mem", 80.1, "current mem usage is 80.1, which exceeds the maximum allowed usage 80"],
  ["disk", 99, "current disk usage is 99.0, which exceeds the maximum allowed usage 80"],
  ["disk", 80, undefined],
  ["fuel", 0, 'check item "fuel" is not supported'],
])("the check of %p at %p %% says %p", async (item, percent, expected) => {
  const machine = {
    cpuPercent: async () => percent,
    memory: () => ({ totalBytes: 1000, availableBytes: 1000 - percent * 10 }),
    disks: async () => [disk(10), disk(percent)],
  };
  expect(await checkItem(item, machine)).toBe(expected);
});
