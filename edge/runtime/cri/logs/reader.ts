import { open, type FileHandle } from "node:fs/promises";
import type { Clock } from "#shared/clock";
import type { LogOptions, OutputChunk } from "#edge/runtime";
import { logFiles, type LogFile } from "./files.ts";
import { parseEntry, withNanoseconds, type LogEntry } from "./line.ts";
import { findTail } from "./tail.ts";

export interface LogSource {
  readonly path: string;
  /** Whether the container has ended: nothing more is written then. */
  readonly isOver: () => Promise<boolean>;
  readonly clock: Pick<Clock, "sleep">;
  readonly signal: AbortSignal;
}

/** How often a file that is followed is looked at, and after how many looks without anything the engine is asked. */
const lookMs = 100;
const looksUntilAsked = 10;
const blockBytes = 64 * 1024;
const lineFeed = 0x0a;
const nothing = { bytesRead: 0 };
/** Engines cut lines at 16 KiB; what is longer is no log, and is not held in memory. */
const longestLine = 1024 * 1024;

/**
 * What a container has written, from the files in which the engine keeps it and what was rotated of them, as kubelet reads them
 * (`pkg/kubelet/kuberuntime/logs`), which reads the last file alone.
 */
export async function* readLog(source: LogSource, options: LogOptions): AsyncGenerator<OutputChunk> {
  const { source: only, sinceMs = 0, timestamps = false } = options;
  const goesOn = { stdout: false, stderr: false };
  for await (const entry of readEntries(source, options)) {
    const isNewLine = !goesOn[entry.stream];
    goesOn[entry.stream] = entry.isPartial;
    if (only !== undefined && entry.stream !== only) continue;
    if (sinceMs > 0 && Date.parse(entry.time) < sinceMs) continue;
    yield { stream: entry.stream, bytes: bytesOf(entry, timestamps && isNewLine) };
  }
}

function bytesOf({ time, content, isPartial }: LogEntry, hasTime: boolean): Uint8Array {
  const start = hasTime ? `${withNanoseconds(time)} ` : "";
  const end = isPartial ? "" : "\n";
  return Buffer.concat([Buffer.from(start), content, Buffer.from(end)]);
}

async function* readEntries(source: LogSource, options: LogOptions): AsyncGenerator<LogEntry> {
  const { path } = source;
  const { follow = false } = options;
  // A container that writes faster than a slow link delivers would have no end otherwise.
  const last = follow ? undefined : logFiles(path).at(-1);
  let { file, offset } = await findStart(source, options);
  while (file) {
    const { inode } = file;
    const isRotated = (): boolean => logFiles(path).at(-1)?.inode !== inode;
    const end = inode === last?.inode ? last.size : Infinity;
    yield* readFile(file, { start: offset, end }, { ...source, follow, isRotated });
    if (!follow && (end !== Infinity || logFiles(path).every((one) => one.inode !== last?.inode))) return;
    file = nextFile(path, inode);
    offset = 0;
  }
}

interface Start {
  readonly file: LogFile | undefined;
  readonly offset: number;
}

async function findStart(source: LogSource, { tailLines, sinceMs = 0, follow }: LogOptions): Promise<Start> {
  const files = logFiles(source.path).filter(({ changedAtMs }) => changedAtMs >= sinceMs);
  const tail = tailLines === undefined ? undefined : await findTail(files, tailLines);
  if (tail) return tail;
  const first = files[0] ?? (follow === true ? await firstFile(source) : undefined);
  return { file: first, offset: 0 };
}

/** Engines make the file when the container is started. */
async function firstFile({ path, clock, signal, isOver }: LogSource): Promise<LogFile | undefined> {
  for (;;) {
    const [file] = logFiles(path);
    if (file) return file;
    // It may have been made just before the end.
    if (await isOver()) return logFiles(path)[0];
    await clock.sleep(lookMs, { signal });
  }
}

/** The file after one that was read to its end; the oldest that is left when that one is gone. */
function nextFile(path: string, inode: number): LogFile | undefined {
  const files = logFiles(path);
  return files[files.findIndex((one) => one.inode === inode) + 1];
}

interface FileReading extends LogSource {
  readonly follow: boolean;
  /** Whether the engine writes to another file meanwhile. */
  readonly isRotated: () => boolean;
}

/** The bytes of a file that are read. */
interface FileRange {
  readonly start: number;
  readonly end: number;
}

async function* readFile(file: LogFile, range: FileRange, reading: FileReading): AsyncGenerator<LogEntry> {
  const { follow, isRotated, signal, clock, isOver } = reading;
  await using handle = await open(file.path, "r");
  const lines = new Lines(handle, range);
  let isEnded = false;
  for (let looks = 1; ; looks += 1) {
    signal.throwIfAborted();
    const ended = isEnded || !follow || isRotated();
    let hasRead = false;
    for await (const line of lines.read()) {
      hasRead = true;
      const entry = parseEntry(line);
      if (entry) yield entry;
      signal.throwIfAborted();
    }
    // What was written before it ended has been read after that was known.
    if (ended) return;
    if (hasRead) looks = 0;
    else if (looks % looksUntilAsked === 1 && (await isOver())) isEnded = true;
    if (!isEnded) await clock.sleep(lookMs, { signal });
  }
}

/** The lines of a file that grows; what follows the last line feed is kept until the next reading. */
class Lines {
  readonly #handle: FileHandle;
  readonly #end: number;
  #offset: number;
  #rest: Uint8Array = new Uint8Array();

  constructor(handle: FileHandle, { start, end }: FileRange) {
    this.#handle = handle;
    this.#offset = start;
    this.#end = end;
  }

  /** To the present end of the file, or of the range. */
  async *read(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const block = Buffer.allocUnsafe(blockBytes);
      const wanted = Math.min(blockBytes, this.#end - this.#offset);
      const { bytesRead } = wanted > 0 ? await this.#handle.read(block, 0, wanted, this.#offset) : nothing;
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      yield* this.#split(block.subarray(0, bytesRead));
    }
  }

  *#split(block: Uint8Array): Generator<Uint8Array> {
    let bytes = this.#rest.length === 0 ? block : Buffer.concat([this.#rest, block]);
    for (let end = bytes.indexOf(lineFeed); end !== -1; end = bytes.indexOf(lineFeed)) {
      yield bytes.subarray(0, end);
      bytes = bytes.subarray(end + 1);
    }
    this.#rest = bytes.length > longestLine ? new Uint8Array() : bytes;
  }
}
