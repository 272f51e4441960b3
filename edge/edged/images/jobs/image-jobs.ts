import type { Clock } from "#shared/clock";
import { asError, describeError, ProtocolError } from "#shared/errors";
import {
  readImageJobRequest,
  type ImageJobFailure,
  type ImageJobReport,
  type ImageJobRequest,
  type PulledImage,
} from "#shared/image-jobs";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import { encodeBlock, readBlock, type ByteStream } from "#shared/streams";

export interface ImageJobsOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Rejects with the reason of the registry. */
  readonly pull: (ref: string, dockerConfigs: readonly string[], signal: AbortSignal) => Promise<void>;
  /** Why the machine does not pass a check item; undefined when it does. */
  readonly check: (item: string) => Promise<string | undefined>;
}

/** Jobs at a time. The pulls of all wait in one queue, and the cloud opens one stream for each job. */
const mostJobs = 16;

/** Pulls the images of jobs of the cloud, each as long as the cloud keeps its stream open. */
export class ImageJobs implements AsyncDisposable {
  readonly #options: ImageJobsOptions;
  readonly #open = new Map<ByteStream, Promise<void>>();

  constructor(options: ImageJobsOptions) {
    this.#options = options;
  }

  /** Takes a stream over; it is ended here. */
  take(stream: ByteStream): void {
    if (this.#open.size >= mostJobs) {
      stream.reset(`${mostJobs} jobs pull images already`);
      return;
    }
    const served = this.#serve(stream).finally(() => this.#open.delete(stream));
    this.#open.set(stream, served);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#open.keys()) stream.reset("edgecore shuts down");
    await Promise.all(this.#open.values());
  }

  /** Never rejects. */
  async #serve(stream: ByteStream): Promise<void> {
    const over = new AbortController();
    void stream.closed.then(({ reason = "the stream has ended" }) => over.abort(new Error(reason)));
    try {
      const { value, rest } = await readBlock(stream.readable);
      void rest.pipeTo(new WritableStream()).catch(() => undefined);
      const request = readImageJobRequest(value);
      if (!request) throw new ProtocolError("bad-image-job", "the cloud sent no job for images");
      await this.#run(request, stream, over.signal);
    } catch (error) {
      stream.reset(describeError(error));
    }
  }

  async #run(request: ImageJobRequest, stream: ByteStream, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const { job, images } = request;
    const writer = stream.writable.getWriter();
    const report = (one: ImageJobReport): Promise<void> => writer.write(encodeBlock(one));
    log.info("images are pulled for a job", { job, images });
    await report({ kind: "state", state: "Checking" });
    const failure = (await this.#check(request)) ?? (await this.#pullAll(request, report, signal));
    log.info("job for images has ended", { job, reason: failure?.reason });
    await report({ kind: "end", failure });
    await writer.close();
  }

  async #check({ checkItems }: ImageJobRequest): Promise<ImageJobFailure | undefined> {
    const found = await Promise.all(checkItems.map((item) => this.#options.check(item)));
    const faults = found.filter((one) => one !== undefined);
    return faults.length === 0 ? undefined : { event: "Check", reason: faults.join("; ") };
  }

  async #pullAll(
    request: ImageJobRequest,
    report: (one: ImageJobReport) => Promise<void>,
    signal: AbortSignal,
  ): Promise<ImageJobFailure | undefined> {
    await report({ kind: "state", state: "Pulling" });
    let last: PulledImage | undefined;
    for (const image of request.images) {
      const pulled = await this.#pull(image, request, signal);
      if (pulled.state === "Failed") last = pulled;
      await report({ kind: "image", image: pulled });
    }
    return last && { event: "Pull", reason: `pull image failed, err: ${last.reason ?? ""}` };
  }

  async #pull(
    image: string,
    { dockerConfigs, retryTimes }: ImageJobRequest,
    signal: AbortSignal,
  ): Promise<PulledImage> {
    const { clock, pull } = this.#options;
    const waits = backoff({ firstMs: 1000, capMs: 30_000, random: () => clock.random() });
    for (let attempt = 0; ; attempt += 1) {
      try {
        await pull(image, dockerConfigs, signal);
        return { image, state: "Successful" };
      } catch (error) {
        signal.throwIfAborted();
        if (attempt >= retryTimes)
          return { image, state: "Failed", reason: asError(error).message.slice(0, 512) };
      }
      await clock.sleep(waits.next().value, { signal });
    }
  }
}
