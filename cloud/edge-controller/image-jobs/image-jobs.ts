import { isKubeError, resources, type Informer, type KubeClient } from "#cloud/kube-client";
import { rfc3339, type Clock } from "#shared/clock";
import type { KubeObject, Node } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { ByteStream } from "#shared/streams";
import { dockerConfigOf, isOver, nodesOf, readJob, type ImagePrePullJob, type JobPlan } from "./job.ts";
import { JobRun } from "./job-run.ts";

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
  /** By uid of the job. */
  readonly #runs = new Map<string, JobRun | undefined>();
  readonly #stack = new AsyncDisposableStack();
  readonly #retries = new DisposableStack();

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
    this.#retries.dispose();
    await this.#stack[Symbol.asyncDispose]();
    for (const run of this.#runs.values()) await run?.[Symbol.asyncDispose]();
  }

  async #added(job: ImagePrePullJob): Promise<void> {
    const { uid = "", name = "" } = job.metadata;
    if (isOver(job.status?.state) || this.#runs.has(uid)) return;
    this.#runs.set(uid, undefined);
    try {
      const read = readJob(job);
      if (!read.ok) return await this.#refuse(name, read.reason);
      await this.#begin(job, read.plan);
    } catch (error) {
      const { log, clock } = this.#options;
      log.warn("cannot begin a job for images", { job: name, error });
      this.#retries.use(clock.after(retryMs, () => void this.#retry(job)));
    }
  }

  #retry(job: ImagePrePullJob): Promise<void> | undefined {
    const { uid = "" } = job.metadata;
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
    if (!this.#runs.has(uid)) return;
    const run = new JobRun({
      ...this.#options,
      name,
      plan,
      dockerConfigs,
      nodes: chosen,
      previous: job.status,
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

  async #removed(uid: string): Promise<void> {
    const run = this.#runs.get(uid);
    this.#runs.delete(uid);
    await run?.[Symbol.asyncDispose]();
  }
}
