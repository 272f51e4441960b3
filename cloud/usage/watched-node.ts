import type { Clock } from "#shared/clock";
import { describeError, ProtocolError } from "#shared/errors";
import type { RateLimitedLog } from "#shared/log";
import { readBlocks, type ByteStream } from "#shared/streams";
import { readUsage, reportEveryMs, usageService, type UsageReport } from "#shared/usage";
import type { UsagePort } from "./port.ts";

/** A report, and when it arrived here: clocks of nodes without a battery are wrong after a start. */
export interface ReceivedUsage {
  readonly report: UsageReport;
  /** Wall clock of the cloud. */
  readonly atMs: number;
}

export interface WatchedNodeDeps {
  readonly port: UsagePort;
  readonly clock: Clock;
  readonly log: Pick<RateLimitedLog, "warn">;
}

/** Two reports may be lost or late. What is older says nothing of the present: metrics-server drops it as well. */
const staleAfterMs = 3 * reportEveryMs;
/** A node sends one each 15 s; after a pause of the link those that were under way arrive together. */
const shortestGapMs = 250;

/** The reports of one node while somebody asks for them. */
export class WatchedNode implements Disposable {
  readonly #node: string;
  readonly #deps: WatchedNodeDeps;
  readonly #closed = new AbortController();
  #received: (ReceivedUsage & { readonly monotonicMs: number }) | undefined;
  #reading: Promise<void> | undefined;
  #first = Promise.withResolvers<void>();
  /** When somebody asked last. */
  askedMs: number;

  constructor(node: string, deps: WatchedNodeDeps) {
    this.#node = node;
    this.#deps = deps;
    this.askedMs = deps.clock.monotonicMs();
  }

  get usage(): ReceivedUsage | undefined {
    const received = this.#received;
    if (!received || this.#deps.clock.monotonicMs() - received.monotonicMs > staleAfterMs) return undefined;
    return received;
  }

  /** Has the node report; resolves with the first report, at once when it cannot be reached. Never rejects. */
  ask(): Promise<void> {
    this.askedMs = this.#deps.clock.monotonicMs();
    if (!this.#reading) {
      this.#first = Promise.withResolvers<void>();
      this.#reading = this.#read();
    }
    return this.usage ? Promise.resolve() : this.#first.promise;
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
  }

  async #read(): Promise<void> {
    const { port, log } = this.#deps;
    const node = this.#node;
    let stream: ByteStream | undefined;
    try {
      stream = await port.ask("stream.open", { node, head: { service: usageService } });
      await this.#follow(stream);
    } catch (error) {
      // Otherwise it is not connected, or a node of KubeEdge; and links break.
      if (error instanceof ProtocolError) log.warn("a node reports its usage wrongly", { node, error }, node);
      stream?.reset(describeError(error));
    }
    this.#reading = undefined;
    this.#first.resolve();
  }

  /** Until the stream ends, the node breaks the rules, or nobody asks any more. */
  async #follow(stream: ByteStream): Promise<void> {
    const { signal } = this.#closed;
    const stop = (): void => stream.reset("nobody asks any more");
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
    for await (const value of readBlocks(stream.readable)) this.#take(value);
  }

  /** @throws ProtocolError when it cannot be used */
  #take(value: unknown): void {
    const { clock } = this.#deps;
    const monotonicMs = clock.monotonicMs();
    const before = this.#received?.monotonicMs ?? -Infinity;
    if (monotonicMs - before < shortestGapMs)
      throw new ProtocolError("usage-flood", "reports come too often: expected one each 15 s");
    const read = readUsage(value);
    if (!read.ok) throw new ProtocolError("usage-malformed", `wrong report of usage: ${read.problem}`);
    this.#received = { report: read.report, atMs: clock.nowMs(), monotonicMs };
    this.#first.resolve();
  }
}
