import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { AppError, asError, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { ContainerRuntime } from "#edge/runtime";
import { isDiskFull } from "#edge/edged/images/unused";
import { readArchive } from "./read-archive.ts";
import {
  ArchiveRecord,
  isSameFile,
  type FileStamp,
  type LoadedArchive,
  type LoadedImage,
} from "./archive-record.ts";

export interface ImageArchivesOptions {
  readonly dir: string;
  /** Where it is written what was loaded. */
  readonly recordPath: string;
  readonly runtime: ContainerRuntime;
  readonly clock: Clock;
  readonly log: Logger;
  /** The complete form of an image's name. */
  readonly complete: (name: string) => string;
  /** Images came that a pod may wait for. */
  readonly onLoaded: () => void;
  /** The disk is too full for an archive. */
  readonly onFull: () => void;
}

/** An archive that could not be loaded. */
interface Failure extends FileStamp {
  readonly fault: string;
  /** How often the engine refused it; a full disk does not count. */
  readonly times: number;
  /** When it is tried again, by the monotonic clock. */
  readonly againAtMs: number;
}

/** A file that did not change between two looks is complete. */
const lookMs = 10_000;

/** How long an archive waits for which the disk was too full, or that the engine refused. */
const againMs = 300_000;

/** How often an archive that the engine refuses is tried: it may be the engine's fault and not the archive's. */
const mostTries = 3;

/** What `docker save`, `skopeo copy` and others write. */
const archiveName = /\.(tar|tar\.gz|tgz|tar\.zst|tzst|tar\.xz|tar\.bz2)$/;

/**
 * Loads the image archives of a directory into the engine, each once: at start, and when one appears or is replaced. An
 * archive that cannot be loaded is reported by its name, and tried again twice, when it changes, and when edgecore starts.
 * Images of archives that are there are kept, and loaded again when the engine has lost them.
 */
export class ImageArchives implements AsyncDisposable {
  readonly #options: ImageArchivesOptions;
  readonly #record: ArchiveRecord;
  readonly #closed = new AbortController();
  /** Files as the last look found them. */
  #seen = new Map<string, FileStamp>();
  readonly #failures = new Map<string, Failure>();
  /** The engine has been asked what it has. */
  #hasBegun = false;
  #reported: string | undefined;
  #work: Promise<void> = Promise.resolve();
  #timer: Disposable | undefined;

  constructor(options: ImageArchivesOptions) {
    this.#options = options;
    this.#record = new ArchiveRecord(options.recordPath);
  }

  /** Looks now, and from then on in intervals. What is there already is loaded as soon as there is an engine. */
  start(): void {
    void this.#queue(() => this.#look());
  }

  /** Whether an image is in an archive of the directory. */
  isHeld(id: string): boolean {
    return this.#record.images.some((one) => one.id === id);
  }

  /** Loads an image again that the engine has lost. @returns whether an archive has one of that complete name */
  async provide(ref: string): Promise<boolean> {
    const name = this.#record.find(ref);
    if (name === undefined) return false;
    await this.#queue(async () => {
      const stamp = await stampOf(join(this.#options.dir, name));
      if (stamp) await this.#load(name, stamp);
    });
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    this.#timer?.[Symbol.dispose]();
    await this.#work;
  }

  /** One after the other: an archive takes the disk and the processor of a small machine. */
  #queue(work: () => Promise<void>): Promise<void> {
    const { log, clock } = this.#options;
    const done = this.#work.then(async () => {
      if (this.#closed.signal.aborted) return;
      this.#timer?.[Symbol.dispose]();
      try {
        await work();
      } catch (error) {
        const isQuiet = error instanceof UnavailableError || this.#closed.signal.aborted;
        log[isQuiet ? "debug" : "warn"]("cannot load image archives", { dir: this.#options.dir, error });
      }
      if (this.#closed.signal.aborted) return;
      this.#timer = clock.after(lookMs, () => void this.#queue(() => this.#look()));
    });
    this.#work = done;
    return done;
  }

  /** An engine that was set up again has nothing that was loaded; what it refused it may take now. */
  async #begin(): Promise<void> {
    const { runtime, log } = this.#options;
    const present = new Set((await runtime.listImages()).map(({ id }) => id));
    if (!runtime.imageStore)
      log.warn("edged.image-dir has no effect: this engine cannot load archives for edgecore");
    const files = await this.#list();
    const isLost = ({ id }: LoadedImage): boolean => !present.has(id);
    const isKept = (known: LoadedArchive | undefined): boolean =>
      known?.fault === undefined && !known?.images.some(isLost);
    this.#record.keep(new Set([...files.keys()].filter((name) => isKept(this.#record.get(name)))));
    this.#seen = files;
    this.#hasBegun = true;
  }

  async #look(): Promise<void> {
    if (!this.#hasBegun) await this.#begin();
    if (!this.#options.runtime.imageStore) return;
    const files = await this.#list();
    const before = this.#seen;
    this.#seen = files;
    this.#record.keep(new Set(files.keys()));
    for (const [name, stamp] of files) {
      this.#closed.signal.throwIfAborted();
      const last = before.get(name);
      const isComplete = last !== undefined && isSameFile(last, stamp);
      const known = this.#record.get(name);
      const failure = this.#failureOf(name, stamp);
      const isDue = !failure || failure.againAtMs <= this.#options.clock.monotonicMs();
      if (isComplete && isDue && !(known && isSameFile(known, stamp))) await this.#load(name, stamp);
    }
  }

  async #list(): Promise<Map<string, FileStamp>> {
    const { dir, log } = this.#options;
    try {
      const names = (await readdir(dir)).filter((name) => archiveName.test(name)).sort();
      const stamps = names.map(async (name) => [name, await stampOf(join(dir, name))] as const);
      this.#reported = undefined;
      const found = await Promise.all(stamps);
      return new Map(found.flatMap(([name, stamp]) => (stamp ? [[name, stamp]] : [])));
    } catch (error) {
      const reason = asError(error).message;
      if (this.#reported !== reason) log.warn("cannot read edged.image-dir", { dir, reason });
      this.#reported = reason;
      return new Map();
    }
  }

  async #load(name: string, stamp: FileStamp): Promise<void> {
    const { dir, log, onLoaded, runtime } = this.#options;
    const store = runtime.imageStore;
    if (!store) return;
    const { signal } = this.#closed;
    try {
      const names = await store.load(readArchive(join(dir, name)), { signal });
      if (names.length === 0) throw new AppError("image-archive", "there is no image in it");
      const images = await Promise.all(names.map((one) => this.#find(one)));
      this.#record.set(name, { ...stamp, images: images.filter((one) => one !== undefined) });
      log.info("image archive loaded", { archive: name, images: names });
      this.#failures.delete(name);
      onLoaded();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof UnavailableError) throw error;
      this.#failed(name, stamp, asError(error).message);
    }
  }

  #failed(name: string, stamp: FileStamp, fault: string): void {
    const { dir, clock, log, onFull } = this.#options;
    const before = this.#failureOf(name, stamp);
    if (before?.fault !== fault)
      log.error("image archive cannot be loaded", { archive: join(dir, name), reason: fault });
    const isFull = isDiskFull(fault);
    const times = (before?.times ?? 0) + (isFull ? 0 : 1);
    this.#failures.set(name, { ...stamp, fault, times, againAtMs: clock.monotonicMs() + againMs });
    if (isFull) onFull();
    else if (times >= mostTries) this.#record.set(name, { ...stamp, images: [], fault });
  }

  /** Of the file as it is now. */
  #failureOf(name: string, stamp: FileStamp): Failure | undefined {
    const failure = this.#failures.get(name);
    return failure && isSameFile(failure, stamp) ? failure : undefined;
  }

  async #find(name: string): Promise<LoadedImage | undefined> {
    const image = await this.#options.runtime.findImage(name);
    return image && { id: image.id, name: this.#options.complete(name) };
  }
}

async function stampOf(path: string): Promise<FileStamp | undefined> {
  try {
    const info = await stat(path);
    return info.isFile() ? { size: info.size, mtimeMs: info.mtimeMs } : undefined;
  } catch {
    // Removed since it was listed, or a link to nothing.
    return undefined;
  }
}
