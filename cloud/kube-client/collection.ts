import { ClosedError, describeError, ProtocolError } from "#shared/errors";
import { backoff, note } from "#shared/lifecycle";
import type { Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import type { Logger } from "#shared/log";
import { KubeError, type InformerHandler, type KubeList } from "./kube-client.ts";
import { firstStep, nextStep, type ListWatchState, type StepResult } from "./list-watch.ts";
import { LocalCopy, type CopyChange } from "./local-copy.ts";
import { watchEvents, type WatchEvent } from "./watch-events.ts";

/** The requests of one list and watch. */
export interface CollectionSource<T> {
  /** For log lines, e.g. `pods`. */
  readonly name: string;
  list(signal: AbortSignal): Promise<KubeList<T>>;
  watch(version: string, timeoutSeconds: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

/**
 * A server ends a watch after timeoutSeconds; a watch that is still open this long afterwards is aborted. A silent watch
 * is not suspicious before that, as a server need not send bookmarks. A dead connection is found by TCP keepalive, which
 * Bun's fetch sets to one minute and ten probes one second apart.
 */
const overdueMs = 30_000;
/** A watch that was open this long counts as useful even without events: the server accepts watches. */
const usefulWatchMs = 10_000;
/** Watches end after 5 to 10 minutes, as client-go's reflector does it: spread, so that they do not all end at once. */
const minWatchSeconds = 300;
/** Back-off between failed requests. */
const firstWaitMs = 200;
const longestWaitMs = 5_000;

/** One list and watch and the copy it keeps, shared by any number of informers; as client-go's reflector. */
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
    let state: ListWatchState = { step: firstStep, fruitless: 0 };
    let waits = this.#waits();
    while (!signal.aborted) {
      const { step } = state;
      if (step.wait) await this.#sleep(waits.next().value);
      if (signal.aborted) return;
      const result = step.do === "list" ? await this.#list() : await this.#watch(step.version);
      if ("useful" in result && result.useful) waits = this.#waits();
      state = nextStep(state, result);
    }
  }

  #waits(): Generator<number, never> {
    return backoff({ firstMs: firstWaitMs, capMs: longestWaitMs, random: () => this.#clock.random() });
  }

  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#abort;
    // The only rejection is our own abort, which the loop checks next.
    await this.#clock.sleep(ms, { signal }).catch(() => undefined);
  }

  async #list(): Promise<StepResult> {
    try {
      const { items, resourceVersion } = await this.#source.list(this.#abort.signal);
      note("a list of", this.#source.name);
      for (const change of this.copy.replace(items)) this.#notify(change);
      this.#version = resourceVersion;
      this.#firstList.resolve();
      return { kind: "listed", version: resourceVersion };
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#log.warn("cannot list objects, retrying", { error });
      return { kind: "list-failed" };
    }
  }

  async #watch(version: string): Promise<StepResult> {
    this.#version = version;
    const startedMs = this.#clock.monotonicMs();
    const useful = (): boolean =>
      this.#version !== version || this.#clock.monotonicMs() - startedMs >= usefulWatchMs;
    try {
      const expired = await this.#follow(version);
      if (expired === undefined) return { kind: "watch-ended", version: this.#version, useful: useful() };
      this.#log.info("watch expired, listing again", { reason: expired });
      return { kind: "watch-expired", useful: useful() };
    } catch (error) {
      if (this.#abort.signal.aborted) return { kind: "watch-ended", version: this.#version, useful: false };
      const isRefused = isRefusal(error) || error instanceof ProtocolError;
      this.#log.info("watch failed", { reason: describeError(error), relist: isRefused });
      if (isRefused) return { kind: "watch-expired", useful: useful() };
      return { kind: "watch-ended", version: this.#version, useful: useful() };
    }
  }

  /** Follows one watch to its end; returns why the copy has to be listed again, if it has to. */
  async #follow(version: string): Promise<string | undefined> {
    const link = new AbortController();
    const signal = AbortSignal.any([this.#abort.signal, link.signal]);
    const seconds = Math.round(minWatchSeconds * (1 + this.#clock.random()));
    using _overdue = this.#clock.after(seconds * 1000 + overdueMs, () =>
      link.abort(new Error("the server did not end the watch in time")),
    );
    try {
      const body = await this.#source.watch(version, seconds, signal);
      using _cut = cancelOnAbort(body, signal);
      for await (const events of watchEvents(body)) {
        const expired = this.#applyAll(events);
        if (expired !== undefined) return expired;
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
      // The caller of informer() knows the kind; nothing is checked beyond the metadata.
      this.#apply(event.type, event.object as T);
    }
    return undefined;
  }

  #apply(type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK", object: T): void {
    const changes =
      type === "BOOKMARK" ? [] : type === "DELETED" ? this.copy.remove(object) : this.copy.put(object);
    this.#version = object.metadata.resourceVersion ?? this.#version;
    for (const change of changes) this.#notify(change);
  }

  #notify(change: CopyChange<T>): void {
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
      this.#log.error("informer handler failed", { error });
    }
  }
}

/** 429 and 5xx mean that the server is busy, not that it cannot watch from this version. */
function isRefusal(error: unknown): boolean {
  return error instanceof KubeError && error.httpStatus < 500 && error.httpStatus !== 429;
}

function cancelOnAbort(body: ReadableStream<Uint8Array>, signal: AbortSignal): Disposable {
  const cancel = (): void => {
    // A locked stream cannot be cancelled; its reader sees the abort of the request.
    body.cancel().catch(() => undefined);
  };
  if (signal.aborted) cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", cancel) };
}
