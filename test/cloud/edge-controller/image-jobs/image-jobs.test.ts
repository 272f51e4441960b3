import { expect, test } from "bun:test";
import { ImageJobs } from "#cloud/edge-controller/image-jobs";
import { KubeError, resources } from "#cloud/kube-client";
import { UnavailableError } from "#shared/errors";
import type { ImageJobReport } from "#shared/image-jobs";
import { edgeNodeLabel, type KubeObject, type Node } from "#shared/kube";
import { encodeBlock, openLocalStream, readBlock, type ByteStream } from "#shared/streams";
import type { ImagePrePullJob, ImagePrePullStatus } from "#internal/cloud/edge-controller/image-jobs/job.ts";
import { FakeClock } from "#internal/test/support/fake/fake-clock.ts";
import { FakeKubeClient } from "#internal/test/support/fake/fake-kube-client.ts";
import { silentLog } from "#internal/test/support/silent-log.ts";

const apiVersion = "operations.kubeedge.io/v1alpha1";

/** Nodes at the far ends of local streams, which do what the test has them do. */
class World implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly kube = new FakeKubeClient({ clock: this.clock });
  readonly away = new Set<string>();
  readonly log = silentLog();
  /** Nodes that are at work, with the stream of each. */
  readonly working = new Map<string, ByteStream>();
  readonly requests: unknown[] = [];
  readonly nodes = this.kube.informer<Node>(resources.nodes);
  jobs = this.#make();

  #make(): ImageJobs {
    const { kube, clock, log, nodes } = this;
    return new ImageJobs({
      kube,
      clock,
      log,
      nodes,
      openStream: async (node, service) => this.#open(node, service),
    });
  }

  #open(node: string, service: string): ByteStream {
    if (this.away.has(node)) throw new UnavailableError("not-connected", `Node "${node}" is not connected`);
    return openLocalStream({ service }, (stream) => void this.#serve(node, stream));
  }

  async #serve(node: string, stream: ByteStream): Promise<void> {
    const { value } = await readBlock(stream.readable);
    this.requests.push(value);
    this.working.set(node, stream);
  }

  async addNode(name: string, labels: Record<string, string> = {}): Promise<void> {
    const metadata = { name, labels: { [edgeNodeLabel]: "", ...labels } };
    await this.kube.create<KubeObject>(resources.nodes, { apiVersion: "v1", kind: "Node", metadata });
  }

  async addJob(
    template: NonNullable<ImagePrePullJob["spec"]>["imagePrePullTemplate"],
    name = "job",
  ): Promise<void> {
    const spec = { imagePrePullTemplate: { images: ["web:1"], ...template } };
    const job: ImagePrePullJob = { apiVersion, kind: "ImagePrePullJob", metadata: { name }, spec };
    await this.kube.create(resources.imagePrePullJobs, job);
    await this.settle();
  }

  async start(): Promise<void> {
    await this.nodes.synced;
    await this.jobs.start();
    await this.settle();
  }

  async restart(): Promise<void> {
    await this.jobs[Symbol.asyncDispose]();
    this.working.clear();
    this.jobs = this.#make();
    await this.start();
  }

  async report(node: string, ...reports: ImageJobReport[]): Promise<void> {
    const writer = this.working.get(node)?.writable.getWriter();
    for (const one of reports) await writer?.write(encodeBlock(one));
    if (reports.at(-1)?.kind === "end") {
      await writer?.close();
      this.working.delete(node);
    } else writer?.releaseLock();
    await this.settle();
  }

  async succeed(node: string): Promise<void> {
    await this.report(
      node,
      { kind: "image", image: { image: "web:1", state: "Successful" } },
      { kind: "end" },
    );
  }

  async fail(node: string): Promise<void> {
    const image = { image: "web:1", state: "Failed", reason: "no such image" } as const;
    await this.report(
      node,
      { kind: "image", image },
      { kind: "end", failure: { event: "Pull", reason: "no such image" } },
    );
  }

  /** Lets what is under way arrive, and statuses be written. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn += 1) {
      await this.clock.advance(200);
      await Bun.sleep(1);
    }
  }

  async status(name = "job"): Promise<ImagePrePullStatus> {
    return (await this.kube.get<ImagePrePullJob>(resources.imagePrePullJobs, { name })).status ?? {};
  }

  async states(): Promise<string[]> {
    const { state, status = [] } = await this.status();
    return [
      state ?? "",
      ...status.map(({ nodeStatus: { nodeName, state: one } }) => `${nodeName} ${one ?? ""}`.trim()),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.jobs[Symbol.asyncDispose]();
    await this.nodes[Symbol.asyncDispose]();
  }
}

test("edge nodes with the labels pull, so many at once", async () => {
  await using world = new World();
  for (const name of ["a", "b", "c"]) await world.addNode(name, { site: "x" });
  await world.addNode("d");
  await world.start();
  await world.addJob({
    labelSelector: { matchLabels: { site: "x" } },
    concurrency: 2,
    retryTimes: 2,
    checkItems: ["disk"],
  });
  const first = [...world.working.keys()];
  await world.report("a", { kind: "state", state: "Checking" }, { kind: "state", state: "Pulling" });
  const during = await world.states();
  await world.succeed("a");
  const second = [...world.working.keys()];
  await world.succeed("b");
  await world.succeed("c");
  expect([first, during, second, await world.states()]).toEqual([
    ["a", "b"],
    ["Pulling", "a Pulling", "b", "c"],
    ["b", "c"],
    ["Successful", "a Successful", "b Successful", "c Successful"],
  ]);
  expect(world.requests[0]).toEqual({
    job: "job",
    images: ["web:1"],
    dockerConfigs: [],
    retryTimes: 2,
    checkItems: ["disk"],
  });
});

test("with too many failures no further node begins, and those that are at work end first", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a", "b", "c", "d"], concurrency: 2, failureTolerate: "0.2" });
  await world.fail("a");
  const during = await world.states();
  await world.succeed("b");
  const status = await world.status();
  expect([during[0], [...world.working.keys()], await world.states(), status.reason]).toEqual([
    "Pulling",
    [],
    ["Failed", "a Failed", "b Successful", "c", "d"],
    "the number of failed nodes is 1/4, which exceeds the failure tolerance threshold",
  ]);
  expect(status.status?.[0]?.imageStatus).toEqual([
    { image: "web:1", state: "Failed", reason: "no such image" },
  ]);
});

test("failures within the tolerance do not fail the job", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a", "b"], concurrency: 2, failureTolerate: "0.5" });
  await world.fail("a");
  await world.succeed("b");
  expect(await world.status()).toMatchObject({
    state: "Successful",
    reason: "the number of failed nodes is 1/2",
  });
});

test("a node that is away holds up nobody, and pulls when it is back", async () => {
  await using world = new World();
  world.away.add("a");
  await world.start();
  await world.addJob({ nodeNames: ["a", "b"], timeoutSeconds: 100 });
  await world.succeed("b");
  const before = await world.states();
  world.away.delete("a");
  world.jobs.nodeConnected("a");
  await world.settle();
  await world.succeed("a");
  expect([before, await world.states()]).toEqual([
    ["Pulling", "a", "b Successful"],
    ["Successful", "a Successful", "b Successful"],
  ]);
});

test("a node whose link breaks begins again, and has no more time for that", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"], timeoutSeconds: 100 });
  await world.clock.advance(60_000);
  world.away.add("a");
  world.working.get("a")?.reset("the link is lost");
  await world.settle();
  world.away.delete("a");
  world.jobs.nodeConnected("a");
  await world.settle();
  await world.clock.advance(40_000);
  await world.settle();
  const node = (await world.status()).status?.[0]?.nodeStatus;
  expect([world.requests.length, node?.state, node?.event, node?.reason]).toEqual([
    2,
    "Failed",
    "TimeOut",
    expect.stringContaining("not finished after 100 seconds: "),
  ]);
});

test("a node that refuses the stream now is asked again after a while", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"], timeoutSeconds: 100 });
  world.working.get("a")?.reset("16 jobs pull images already");
  await world.settle();
  const soon = world.requests.length;
  await world.clock.advance(10_000);
  await world.settle();
  await world.succeed("a");
  expect([soon, world.requests.length, await world.states()]).toEqual([1, 2, ["Successful", "a Successful"]]);
});

test("a job goes on where it was after a restart of cloudcore", async () => {
  await using world = new World();
  for (const name of ["a", "b"]) await world.addNode(name);
  await world.start();
  await world.addJob({ labelSelector: {} });
  await world.succeed("a");
  await world.addNode("later");
  await world.restart();
  const working = [...world.working.keys()];
  await world.succeed("b");
  await world.restart();
  expect([working, await world.states(), world.working.size]).toEqual([
    ["b"],
    ["Successful", "a Successful", "b Successful"],
    0,
  ]);
});

test("a deleted job ends on its nodes", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"] });
  const stream = world.working.get("a");
  await world.kube.remove(resources.imagePrePullJobs, { name: "job" });
  await world.settle();
  expect((await stream?.closed)?.reason).toContain("the job was deleted");
});

test("a node that reports nonsense has failed", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"], failureTolerate: "1" });
  await world.working
    .get("a")
    ?.writable.getWriter()
    .write(encodeBlock({ kind: "state", state: "Dancing" }));
  await world.settle();
  expect((await world.status()).status?.[0]?.nodeStatus).toMatchObject({
    state: "Failed",
    reason: "the node sent no report",
  });
});

test("of what a node reports only the latest of each image of the job counts", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"], images: ["web:1", "db:1"] });
  await world.report(
    "a",
    { kind: "image", image: { image: "web:1", state: "Failed", reason: "busy" } },
    { kind: "image", image: { image: "other:1", state: "Successful" } },
    { kind: "image", image: { image: "db:1", state: "Successful" } },
    { kind: "image", image: { image: "web:1", state: "Successful" } },
    { kind: "end" },
  );
  expect((await world.status()).status?.[0]?.imageStatus).toEqual([
    { image: "web:1", state: "Successful" },
    { image: "db:1", state: "Successful" },
  ]);
});

test("a node that reports more than the job has to say has failed", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"] });
  const reports = Array.from({ length: 11 }, () => ({ kind: "state", state: "Pulling" }) as const);
  await world.report("a", ...reports.slice(0, 10));
  const before = await world.states();
  await world.report("a", ...reports.slice(10));
  expect([before, await world.states()]).toEqual([
    ["Pulling", "a Pulling"],
    ["Failed", "a Failed"],
  ]);
});

/** One node fails and two succeed, with an API that refuses so many statuses of the end. */
async function withRefusals(world: World, error: KubeError, times: number): Promise<void> {
  await world.start();
  await world.addJob({ nodeNames: ["a", "b", "c"], concurrency: 3, failureTolerate: "0.5" });
  await world.fail("a");
  await world.succeed("b");
  world.kube.fail(({ subresource }) => subresource === "status", error, times);
  await world.succeed("c");
  for (let turn = 0; turn < 5; turn += 1) await world.settle();
}

test.each([
  [413, "no"],
  [422, "no"],
  [500, "etcdserver: request is too large"],
])("a status that is refused with %d is written with less", async (code, message) => {
  const found: unknown[] = [];
  for (const times of [0, 1, 2, 3]) {
    await using world = new World();
    await withRefusals(world, new KubeError(code, "Refused", message), times);
    const { state, status, reason } = await world.status();
    found.push([state, status?.map(({ imageStatus = [] }) => imageStatus.length), reason]);
  }
  const reason = "the number of failed nodes is 1/3";
  const counts = "2 of 3 nodes have succeeded, 1 have failed; the API refused the states of the nodes";
  expect(found).toEqual([
    ["Successful", [1, 1, 1], reason],
    ["Successful", [1, 0, 0], reason],
    ["Successful", [0, 0, 0], reason],
    ["Successful", undefined, `${reason}; ${counts}`],
  ]);
});

test("nothing that is refused for good is written again unchanged", async () => {
  await using world = new World();
  const refusal = new KubeError(422, "Invalid", "no");
  world.kube.fail(({ subresource }) => subresource === "status", refusal, Infinity);
  await withRefusals(world, refusal, Infinity);
  const writes = (): string[] =>
    world.kube.calls
      .filter(({ subresource }) => subresource === "status")
      .map(({ body }) => JSON.stringify(body));
  const first = writes();
  expect(first.at(-1)).toContain("the API refused the states of the nodes");
  await world.clock.advance(600_000);
  await world.settle();
  expect([new Set(first).size, writes()]).toEqual([first.length, first]);
});

test("a large status is written less often", async () => {
  await using world = new World();
  await world.start();
  const images = Array.from({ length: 250 }, (_, index) => `web:${index}`);
  await world.addJob({ nodeNames: ["a", "b"], images, concurrency: 2, failureTolerate: "1" });
  const failed = images.map((image) => ({
    kind: "image" as const,
    image: { image, state: "Failed" as const, reason: "x".repeat(512) },
  }));
  await world.report("a", ...failed, { kind: "end", failure: { event: "Pull", reason: "no" } });
  await world.succeed("b");
  const soon = await world.states();
  await world.clock.advance(2000);
  await world.settle();
  expect([soon, await world.states()]).toEqual([
    ["Pulling", "a Failed", "b"],
    ["Successful", "a Failed", "b Successful"],
  ]);
});

test("a status that the API did not take is written when it answers again", async () => {
  await using world = new World();
  await withRefusals(world, new KubeError(503, "ServiceUnavailable", "not now"), 2);
  await world.clock.advance(60_000);
  await world.settle();
  expect(await world.states()).toEqual(["Successful", "a Failed", "b Successful", "c Successful"]);
});

test("a job that is longer than a node reads is refused", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"], images: ["x".repeat(64 * 1024)] });
  const { state, reason } = await world.status();
  expect([state, reason, world.requests]).toEqual(["Failed", "images and credentials exceed 64 KiB", []]);
});

test("a job begins once the API answers again, and not after it was deleted", async () => {
  await using world = new World();
  const template = { nodeNames: ["a"], imageSecrets: "default/regcred" };
  const unavailable = new KubeError(503, "ServiceUnavailable", "not now");
  world.kube.fail(({ plural }) => plural === "secrets", unavailable, 2);
  await world.start();
  await world.addJob(template);
  await world.addJob(template, "deleted");
  await world.kube.remove(resources.imagePrePullJobs, { name: "deleted" });
  await world.settle();
  const data = { ".dockerconfigjson": Buffer.from("{}").toString("base64") };
  const metadata = { name: "regcred", namespace: "default" };
  await world.kube.create<KubeObject>(resources.secrets, {
    apiVersion: "v1",
    kind: "Secret",
    metadata,
    data,
  });
  await world.clock.advance(10_000);
  await world.settle();
  expect(world.requests).toEqual([expect.objectContaining({ job: "job", dockerConfigs: ["{}"] })]);
});

test("a job that is over does not begin again", async () => {
  await using world = new World();
  await world.start();
  await world.addJob({ nodeNames: ["a"] });
  await world.succeed("a");
  world.jobs.nodeConnected("a");
  await world.settle();
  expect([world.requests.length, await world.states()]).toEqual([1, ["Successful", "a Successful"]]);
});
