import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { encodeBlock, type ByteStream } from "#shared/streams";
import { reportEveryMs, writeUsage, type UsageCounters } from "#shared/usage";
import { usageBetween } from "./measurement.ts";

export interface UsageStreamsOptions {
  readonly clock: Clock;
  readonly measure: () => Promise<UsageCounters>;
}

/** The first report comes soon, because somebody waits for it; the processor's share needs some time to be measured over. */
const firstAfterMs = 1000;

/**
 * Reports usage while the cloud keeps a stream open for it. A report is written when the one before has been sent, with what
 * is so then: on a slow link there are fewer, and none waits.
 */
export class UsageStreams implements AsyncDisposable {
  readonly #options: UsageStreamsOptions;
  /** One reader is enough: a new stream ends the one before, of which the cloud has lost track. */
  #open: ByteStream | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(options: UsageStreamsOptions) {
    this.#options = options;
  }

  /** Takes a stream over; it is ended here. */
  take(stream: ByteStream): void {
    this.#open?.reset("another stream reports usage");
    this.#open = stream;
    this.#last = Promise.all([this.#last, this.#serve(stream)]).then(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#open?.reset("edgecore shuts down");
    await this.#last;
  }

  /** Never rejects. */
  async #serve(stream: ByteStream): Promise<void> {
    const over = new AbortController();
    void stream.closed.then(({ reason = "the stream has ended" }) => over.abort(new Error(reason)));
    // The cloud sends nothing; that it has finished is the end of it.
    void stream.readable.pipeTo(new WritableStream()).then(
      () => stream.reset("nobody asks any more"),
      () => undefined,
    );
    try {
      await this.#report(stream, over.signal);
    } catch (error) {
      stream.reset(describeError(error));
    }
  }

  /** Until the stream is over. */
  async #report(stream: ByteStream, signal: AbortSignal): Promise<void> {
    const { clock, measure } = this.#options;
    const writer = stream.writable.getWriter();
    let earlier = await measure();
    await clock.sleep(firstAfterMs, { signal });
    for (;;) {
      const later = await measure();
      await writer.write(encodeBlock(writeUsage(usageBetween(earlier, later))));
      earlier = later;
      await clock.sleep(reportEveryMs, { signal });
    }
  }
}
