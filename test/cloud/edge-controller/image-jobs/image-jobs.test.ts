import { expect, test } from "bun:test";
import { ImageJobs } from "#cloud/edge-controller/image-jobs";
import { resources } from "#cloud/kube-client";
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
