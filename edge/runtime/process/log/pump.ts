import { closeSync, constants, openSync } from "node:fs";
import type { Clock } from "#shared/clock";
import type { OutputChunk } from "#edge/runtime";
import { LineSplitter, type LogWriter } from "./writer.ts";

export interface PumpOptions {
  /** Paths of the pipes. */
  readonly pipes: Readonly<Record<OutputChunk["stream"], string>>;
  readonly endMark: string;
  readonly writer: LogWriter;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** By what the log of a program may grow each second; beyond it the program waits. It spares the flash and the processor. */
const mostBytes = 2 * 1024 * 1024;
/** Nothing more comes of a program that has ended. */
const quietMs = 2000;

/**
 * Reads both outputs of a program until their ends are marked, or the signal. While nobody reads, as when edgecore is updated, the
 * kernel keeps 64 KiB of each, and then the program waits.
 */
export class LogPump {
  readonly #options: PumpOptions;
  readonly #over = new AbortController();
  /** Resolves when both have been read to their end, or the signal was aborted; never rejects. */
  readonly done: Promise<void>;
  #readAtMs: number;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#readAtMs = options.clock.monotonicMs();
    this.done = this.#run();
  }

  /** The program has ended: without a mark, which an earlier edgecore may have read, silence is the end. */
  async finish(): Promise<void> {
    const { clock, signal } = this.#options;
    const over = AbortSignal.any([signal, this.#over.signal]);
    this.#readAtMs = clock.monotonicMs();
    try {
      while (!over.aborted && clock.monotonicMs() - this.#readAtMs < quietMs)
        await clock.sleep(quietMs / 4, { signal: over });
    } catch {
      // Both ends were read.
    }
    this.#over.abort();
    await this.done;
  }

  async #run(): Promise<void> {
    const { pipes } = this.#options;
    await Promise.all([this.#read("stdout", pipes.stdout), this.#read("stderr", pipes.stderr)]);
    this.#over.abort();
  }

  async #read(stream: OutputChunk["stream"], path: string): Promise<void> {
    const { endMark, writer, signal } = this.#options;
    const lines = new LineSplitter(endMark, (content, isPartial) => writer.add(stream, content, isPartial));
    let fd: number | undefined;
    try {
      // For writing too: it has no end then, and is not waited for.
      fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
      await this.#readLines(fd, lines, AbortSignal.any([signal, this.#over.signal]));
    } catch {
      // The container is removed.
    } finally {
      writer.begin();
      lines.end();
      writer.flush();
      if (fd !== undefined) tryClose(fd);
    }
  }

  async #readLines(fd: number, lines: LineSplitter, over: AbortSignal): Promise<void> {
    const { clock, writer } = this.#options;
    const reader = Bun.file(fd).stream().getReader();
    const onAbort = (): void => void reader.cancel().catch(() => undefined);
    over.addEventListener("abort", onAbort, { once: true });
    let [bytes, sinceMs] = [0, clock.monotonicMs()];
    while (!over.aborted && !lines.isEnded) {
      const { value, done } = await reader.read();
      if (done || value === undefined) return;
      this.#readAtMs = clock.monotonicMs();
      writer.begin();
      lines.take(value);
      bytes += writer.flush();
      const spentMs = clock.monotonicMs() - sinceMs;
      if (bytes >= mostBytes && spentMs < 1000) await clock.sleep(1000 - spentMs, { signal: over });
      if (bytes >= mostBytes || spentMs >= 1000) [bytes, sinceMs] = [0, clock.monotonicMs()];
    }
    over.removeEventListener("abort", onAbort);
    await reader.cancel();
  }
}

function tryClose(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // The stream has closed it.
  }
}
