import { isKubeError, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import type { ImageJobRequest } from "#shared/image-jobs";
import type { KubeObject, Node } from "#shared/kube";
import type { Logger } from "#shared/log";
import { longestBlock, type ByteStream } from "#shared/streams";
import { dockerConfigOf, isOver, nodesOf, readJob, type ImagePrePullJob, type JobPlan } from "./job.ts";
import { JobRun } from "./job-run.ts";
import { isRefusedForGood } from "./status-writer.ts";

export interface ImageJobsOptions {
  readonly kube: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodes: Informer<Node>;
  readonly openStream: (node: string, service: string) => Promise<ByteStream>;
}

/** When the API did not answer. */
const retryMs = 10_000;

/** ImagePrePullJobs: each is carried out once, from when it is seen until it is over, also over restarts of cloudcore. */
export class ImageJobs implements AsyncDisposable {
  readonly #options: ImageJobsOptions;
  /** By uid of the job; undefined before it begins and when it is over. */
  readonly #runs = new Map<string, JobRun | undefined>();
  readonly #stack = new AsyncDisposableStack();
  /** By uid of the job. */
  readonly #retries = new Map<string, Disposable>();

  constructor(options: ImageJobsOptions) {
    this.#options = options;
  }

  /** On a cluster without the CRD nothing is done until the next start. */
  async start(): Promise<void> {
    const { kube, log } = this.#options;
    if (!(await this.#isServed())) {
      log.info("jobs for images are not served: no ImagePrePullJob in this cluster, or no right to read it");
      return;
    }
    const jobs = this.#stack.use(kube.informer<ImagePrePullJob>(resources.imagePrePullJobs));
    this.#stack.use(
      jobs.watch({
        added: (job) => void this.#added(job),
        removed: ({ metadata: { uid = "" } }) => void this.#removed(uid),
      }),
    );
  }

  async #isServed(): Promise<boolean> {
    const { kube, log } = this.#options;
    try {
      await kube.list(resources.imagePrePullJobs);
      return true;
    } catch (error) {
      // The informer goes on trying.
      log.debug("cannot list jobs for images", { error });
      return !isKubeError(error, 403, 404);
    }
  }

  nodeConnected(node: string): void {
    for (const run of this.#runs.values()) run?.nodeConnected(node);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const runs = [...this.#runs.values()];
    this.#runs.clear();
    for (const timer of this.#retries.values()) timer[Symbol.dispose]();
    this.#retries.clear();
    await this.#stack[Symbol.asyncDispose]();
    for (const run of runs) await run?.[Symbol.asyncDispose]();
  }

  async #added(job: ImagePrePullJob): Promise<void> {
    const { uid = "", name = "" } = job.metadata;
    if (isOver(job.status?.state) || this.#runs.has(uid) || this.#stack.disposed) return;
    this.#runs.set(uid, undefined);
    try {
      const read = readJob(job);
      if (!read.ok) return await this.#refuse(name, read.reason);
      await this.#begin(job, read.plan);
    } catch (error) {
      const { log, clock } = this.#options;
      log.warn("cannot begin a job for images", { job: name, error });
      if (isRefusedForGood(error) || !this.#runs.has(uid)) return;
      const timer = clock.after(retryMs, () => void this.#retry(job));
      this.#retries.set(uid, timer);
    }
  }

  #retry(job: ImagePrePullJob): Promise<void> | undefined {
    const { uid = "" } = job.metadata;
    this.#retries.delete(uid);
    return this.#runs.delete(uid) ? this.#added(job) : undefined;
  }

  async #begin(job: ImagePrePullJob, plan: JobPlan): Promise<void> {
    const { nodes } = this.#options;
    const { uid = "", name = "" } = job.metadata;
    const previous = job.status?.status?.map(({ nodeStatus }) => nodeStatus.nodeName) ?? [];
    // The nodes of a job are chosen once.
    const chosen = previous.length > 0 ? previous : nodesOf(job, nodes.list());
    if (chosen.length === 0) return this.#refuse(name, "no node is selected");
    const dockerConfigs = await this.#dockerConfigs(plan);
    if (typeof dockerConfigs === "string") return this.#refuse(name, dockerConfigs);
    const request = requestOf(name, plan, dockerConfigs);
    if (Buffer.byteLength(JSON.stringify(request)) > longestBlock)
      return this.#refuse(name, "images and credentials exceed 64 KiB");
    if (!this.#runs.has(uid)) return;
    const run = new JobRun({
      ...this.#options,
      name,
      plan,
      request,
      nodes: chosen,
      previous: job.status,
      onOver: () => void this.#over(uid),
    });
    this.#runs.set(uid, run);
    run.start();
  }

  /** @returns why there are none, as text */
  async #dockerConfigs({ secret }: JobPlan): Promise<string[] | string> {
    if (!secret) return [];
    const { namespace, name } = secret;
    const found = await this.#options.kube.find<KubeObject>(resources.secrets, secret);
    const config = found && dockerConfigOf(found);
    return config === undefined
      ? `imageSecrets: there is no Secret "${namespace}/${name}" with a docker config`
      : [config];
  }

  async #refuse(name: string, reason: string): Promise<void> {
    const { kube, clock } = this.#options;
    const time = rfc3339(clock.nowMs());
    const status = { state: "Failed", event: "Init", action: "Failure", reason, time };
    const options = { type: "merge", subresource: "status" } as const;
    await kube.patch(resources.imagePrePullJobs, { name }, { status }, options);
  }

  /** Lets go of the run and its credentials. The uid stays: the job does not begin again. */
  async #over(uid: string): Promise<void> {
    const run = this.#runs.get(uid);
    if (run) this.#runs.set(uid, undefined);
    await run?.[Symbol.asyncDispose]();
  }

  async #removed(uid: string): Promise<void> {
    this.#retries.get(uid)?.[Symbol.dispose]();
    this.#retries.delete(uid);
    const run = this.#runs.get(uid);
    this.#runs.delete(uid);
    await run?.[Symbol.asyncDispose]();
  }
}

function requestOf(job: string, plan: JobPlan, dockerConfigs: readonly string[]): ImageJobRequest {
  const { images, retryTimes, checkItems } = plan;
  return { job, images, dockerConfigs, retryTimes, checkItems };
}
