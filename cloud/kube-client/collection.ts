import { ClosedError, describeError, ProtocolError } from "#shared/errors";
import { backoff, note } from "#shared/lifecycle";
import type { Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { InformerHandler, KubeList } from "./kube-client.ts";
import { firstStep, nextStep, type Ended, type Progress } from "./list-watch.ts";
import { LocalCopy, type Change } from "./local-copy.ts";
import { watchEvents, type WatchEvent } from "./watch-events.ts";

export interface CollectionSource<T> {
  /** For log lines, e.g. `pods`. */
  readonly name: string;
  list(signal: AbortSignal): Promise<KubeList<T>>;
  watch(from: string, timeoutSeconds: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

/**
 * A server ends a watch when its time is up; one that is not over so long after that is given up. Silence before says
 * nothing: a server need not send bookmarks. A link that is dead is found by TCP keepalive, which Bun's fetch sets to a
 * minute and ten probes a second apart.
 */
const overdueMs = 30_000;
/** A watch that held this long was a good one even if it told nothing. */
const goodWatchMs = 10_000;

/** One list+watch and the copy it keeps; any number of informers share it. */
export class Collection<T extends KubeObject> implements AsyncDisposable {
  readonly copy = new LocalCopy<T>();
  readonly synced: Promise<void>;
  readonly #source: CollectionSource<T>;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #handlers = new Set<InformerHandler<T>>();
  readonly #abort = new AbortController();
  readonly #firstList = Promise.withResolvers<void>();
  readonly #loop: Promise<void>;
  #version = "";

  constructor(source: CollectionSource<T>, clock: Clock, log: Logger) {
    this.#source = source;
    this.#clock = clock;
    this.#log = log.child({ collection: source.name });
    this.synced = this.#firstList.promise;
    this.synced.catch(() => undefined);
    this.#loop = this.#run();
  }

  watch(handler: InformerHandler<T>): Disposable {
    for (const object of this.copy.values()) this.#call(() => handler.added?.(object));
    this.#handlers.add(handler);
    return { [Symbol.dispose]: () => void this.#handlers.delete(handler) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort(new ClosedError("The informer was disposed"));
    await this.#loop;
    this.#firstList.reject(this.#abort.signal.reason);
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    let progress: Progress = { step: firstStep, fruitless: 0 };
    let waits = this.#waits();
    while (!signal.aborted) {
      const { step } = progress;
      if (step.wait) await this.#sleep(waits.next().value);
      if (signal.aborted) return;
      const ended = step.do === "list" ? await this.#list() : await this.#watch(step.from);
      if ("useful" in ended && ended.useful) waits = this.#waits();
      progress = nextStep(progress, ended);
    }
  }

  #waits(): Generator<number, never> {
    return backoff({ firstMs: 200, capMs: 5_000, random: () => this.#clock.random() });
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#abort;
    // The only rejection is our own abort, which the loop looks at next.
    await this.#clock.sleep(ms, { signal }).catch(() => undefined);
  }

  async #list(): Promise<Ended> {
    try {
      const { items, resourceVersion } = await this.#source.list(this.#abort.signal);
      note("a list of", this.#source.name);
      for (const change of this.copy.replace(items)) this.#tell(change);
      this.#version = resourceVersion;
      this.#firstList.resolve();
      return { kind: "listed", version: resourceVersion };
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#log.warn("Cannot list, trying again", { error });
      return { kind: "list-failed" };
    }
  }

  async #watch(from: string): Promise<Ended> {
    this.#version = from;
    const startedMs = this.#clock.monotonicMs();
    const useful = (): boolean =>
      this.#version !== from || this.#clock.monotonicMs() - startedMs >= goodWatchMs;
    try {
      const lost = await this.#follow(from);
      if (lost === undefined) return { kind: "watch-ended", version: this.#version, useful: useful() };
      this.#log.info("Listing again, the watch was lost", { reason: lost });
      return { kind: "watch-lost", useful: useful() };
    } catch (error) {
      if (this.#abort.signal.aborted) return { kind: "watch-ended", version: this.#version, useful: false };
      const isRefusal = hasStatus(error) || error instanceof ProtocolError;
      this.#log.info("A watch broke", { reason: describeError(error), relist: isRefusal });
      if (isRefusal) return { kind: "watch-lost", useful: useful() };
      return { kind: "watch-ended", version: this.#version, useful: useful() };
    }
  }

  /** Follows one watch to its end; returns why the copy must be listed again, if it must. */
  async #follow(from: string): Promise<string | undefined> {
    const link = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, link.signal]);
    const seconds = Math.round(300 + 300 * this.#clock.random());
    using _overdue = this.#clock.after(seconds * 1000 + overdueMs, () =>
      link.abort(new Error("the server did not end it in its time")),
    );
    try {
      const body = await this.#source.watch(from, seconds, signal);
      using _cut = cancelOnAbort(body, signal);
      for await (const events of watchEvents(body)) {
        const lost = this.#applyAll(events);
        if (lost !== undefined) return lost;
      }
      return undefined;
    } finally {
      link.abort(new ClosedError("The watch ended"));
    }
  }

  #applyAll(events: WatchEvent[]): string | undefined {
    for (const event of events) {
      if (this.#abort.signal.aborted) return undefined;
      if (event.type === "ERROR") return event.object?.message ?? "error event";
      this.#apply(event.type, event.object as T);
    }
    return undefined;
  }

  #apply(type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK", object: T): void {
    const changes =
      type === "BOOKMARK" ? [] : type === "DELETED" ? this.copy.remove(object) : this.copy.put(object);
    this.#version = object.metadata.resourceVersion ?? this.#version;
    for (const change of changes) this.#tell(change);
  }

  #tell(change: Change<T>): void {
    note("a change of", this.#source.name);
    for (const handler of this.#handlers) {
      this.#call(() => {
        if (change.kind === "added") handler.added?.(change.object);
        else if (change.kind === "updated") handler.updated?.(change.object, change.old);
        else handler.removed?.(change.object);
      });
    }
  }

  #call(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#log.error("An informer's handler failed", { error });
    }
  }
}

function hasStatus(error: unknown): boolean {
  // 429 and 5xx say that the server is busy, not that it cannot tell from there.
  return (
    typeof error === "object" &&
    error !== null &&
    "httpStatus" in error &&
    typeof error.httpStatus === "number" &&
    error.httpStatus < 500 &&
    error.httpStatus !== 429
  );
}

function cancelOnAbort(body: ReadableStream<Uint8Array>, signal: AbortSignal): Disposable {
  const cancel = (): void => {
    // A locked stream refuses; then its reader sees the abort of the request itself.
    body.cancel().catch(() => undefined);
  };
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", cancel) };
}
