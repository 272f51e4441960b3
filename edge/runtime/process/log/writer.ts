import { closeSync, fstatSync, mkdirSync, openSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import type { OutputChunk } from "#edge/runtime";
import { rotateLog, type LogLimits } from "#edge/runtime/cri/logs";

export interface LogWriterOptions {
  readonly id: string;
  readonly path: string;
  readonly limits: LogLimits;
  readonly clock: Clock;
  readonly log: Logger;
}

/** As engines of the CRI cut long lines. */
const longestLine = 16 * 1024;
const lineFeed = 0x0a;
const lineEnd = Buffer.of(lineFeed);

/** Writes the log of a container in the form of the CRI, and rotates it. A disk that is full loses lines and stops nobody. */
export class LogWriter implements Disposable {
  readonly #options: LogWriterOptions;
  #fd: number | undefined;
  #size = 0;
  #isRotating = false;
  #isFull = false;
  #lines: Uint8Array[] = [];
  #time = "";

  constructor(options: LogWriterOptions) {
    this.#options = options;
  }

  /** Takes a line, or a part of one that goes on with the next. */
  add(stream: OutputChunk["stream"], content: Uint8Array, isPartial: boolean): void {
    this.#lines.push(Buffer.from(`${this.#time} ${stream} ${isPartial ? "P" : "F"} `), content, lineEnd);
  }

  /** Writes the lines of a block, which have one time. @returns their bytes with what the form of the log adds */
  flush(): number {
    const bytes = Buffer.concat(this.#lines);
    this.#lines = [];
    if (bytes.length > 0) this.#append(bytes);
    if (this.#size >= this.#options.limits.fileBytes && !this.#isRotating) void this.#rotate();
    return bytes.length;
  }

  /** A block was read. */
  begin(): void {
    this.#time = this.#now();
  }

  #now(): string {
    return new Date(this.#options.clock.nowMs()).toISOString();
  }

  [Symbol.dispose](): void {
    this.#close();
  }

  #append(bytes: Uint8Array): void {
    try {
      const fd = (this.#fd ??= this.#open());
      this.#size += writeSync(fd, bytes);
      this.#isFull = false;
    } catch (error) {
      if (!this.#isFull)
        this.#options.log.warn("cannot write the log of a program", { path: this.#options.path, error });
      this.#isFull = true;
    }
  }

  #open(): number {
    const { path } = this.#options;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const fd = openSync(path, "a", 0o640);
    this.#size = fstatSync(fd).size;
    return fd;
  }

  async #rotate(): Promise<void> {
    const { id, path, limits, clock, log } = this.#options;
    this.#isRotating = true;
    try {
      await rotateLog(id, path, { limits, clock, log, reopen: async () => this.#close() });
    } catch (error) {
      log.warn("cannot rotate the log of a program", { path, error });
    } finally {
      this.#isRotating = false;
    }
  }

  /** The next line opens the file of that name. */
  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#size = 0;
  }
}

/** Makes lines of what a program writes, until the mark that ends it. */
export class LineSplitter {
  readonly #mark: Buffer;
  readonly #onLine: (content: Uint8Array, isPartial: boolean) => void;
  #rest: Buffer = Buffer.alloc(0);
  #isEnded = false;

  constructor(endMark: string, onLine: (content: Uint8Array, isPartial: boolean) => void) {
    this.#mark = Buffer.from(endMark);
    this.#onLine = onLine;
  }

  /** Whether the mark was read. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  take(chunk: Uint8Array): void {
    let bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    for (let end = bytes.indexOf(lineFeed); end !== -1 && !this.#isEnded; end = bytes.indexOf(lineFeed)) {
      this.#line(bytes.subarray(0, end));
      bytes = bytes.subarray(end + 1);
    }
    // The mark may be cut, so that as much of the rest is kept.
    while (!this.#isEnded && bytes.length > longestLine + this.#mark.length) {
      this.#onLine(bytes.subarray(0, longestLine), true);
      bytes = bytes.subarray(longestLine);
    }
    this.#rest = Buffer.from(bytes);
  }

  /** Nothing comes any more: what has no line feed is a line. */
  end(): void {
    if (this.#rest.length > 0 && !this.#isEnded) this.#cut(this.#rest, true);
    this.#rest = Buffer.alloc(0);
  }

  #line(line: Buffer): void {
    if (line.length < this.#mark.length || !line.subarray(-this.#mark.length).equals(this.#mark))
      return this.#cut(line, false);
    this.#isEnded = true;
    const before = line.subarray(0, -this.#mark.length);
    if (before.length > 0) this.#cut(before, true);
  }

  /** @param isUnended whether no line feed followed */
  #cut(line: Buffer, isUnended: boolean): void {
    let rest = line;
    for (; rest.length > longestLine; rest = rest.subarray(longestLine))
      this.#onLine(rest.subarray(0, longestLine), true);
    this.#onLine(rest, isUnended);
  }
}
