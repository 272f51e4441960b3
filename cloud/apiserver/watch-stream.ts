import type { Clock } from "#shared/clock";
import { apiVersionOf, type JsonObject, type KindInfo } from "#cloud/apikinds";
import { everything, refusals, selects, type Selection } from "#cloud/apirules";
import { partialOf, tableOf, textAs, type Wanted } from "#cloud/apiwire";
import type { Change, RevisionStore, Stored } from "#cloud/apistore";
import type { KubeObject, Status } from "#shared/kube";

export interface WatchOptions {
  readonly kind: KindInfo;
  readonly resource: string;
  /** `<namespace>/`, or empty for all namespaces */
  readonly prefix: string;
  readonly selection: Selection;
  readonly wanted: Wanted;
  /** Events after this revision; undefined: the objects as they are, then what follows. */
  readonly from: number | undefined;
  readonly bookmarks: boolean;
  /** Marks the end of the initial objects with a bookmark. */
  readonly initialEnd: boolean;
  readonly timeoutMs: number;
}

interface Parts {
  readonly store: RevisionStore;
  readonly clock: Clock;
}

const bookmarkMs = 60_000;
const pageRows = 200;

/**
 * The events of one collection as a stream of JSON lines. A client that reads slowly is served from the
 * store where it stopped, at no cost of memory, until the history it needs is compacted: then it gets an
 * Expired event and the stream ends.
 */
export function watchStream(parts: Parts, options: WatchOptions): ReadableStream<Uint8Array> {
  let watch: Watch | undefined;
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        watch = new Watch(parts, options, controller);
        // The header of an answer goes out with its first byte: without one a quiet watch looks dead.
        controller.enqueue(new Uint8Array([10]));
      },
      pull: () => watch?.fill(),
      cancel: () => watch?.end(),
    },
    { highWaterMark: 4 },
  );
}

class Watch {
  readonly #parts: Parts;
  readonly #options: WatchOptions;
  readonly #controller: ReadableStreamDefaultController<Uint8Array>;
  readonly #encoder = new TextEncoder();
  readonly #owned = new DisposableStack();
  readonly #plain: boolean;
  /** Objects to be told as ADDED before anything else. */
  #initial: Stored[] = [];
  #initialEnd = false;
  /** Everything up to this revision was told. */
  #cursor: number;
  /** Nothing of this resource lies between the cursor and the newest revision. */
  #live = false;
  #columnsSent = false;
  #ended = false;

  constructor(parts: Parts, options: WatchOptions, controller: ReadableStreamDefaultController<Uint8Array>) {
    this.#parts = parts;
    this.#options = options;
    this.#controller = controller;
    this.#plain = options.selection === everything;
    const { store, clock } = parts;
    this.#cursor = options.from ?? store.revision;
    if (options.from === undefined) {
      this.#initial = store.list(options.resource, options.prefix).toReversed();
      this.#initialEnd = options.initialEnd;
    }
    this.#owned.use(store.follow(options.resource, (changes) => this.#hear(changes)));
    this.#owned.use(clock.after(options.timeoutMs, () => this.#finish()));
    if (options.bookmarks) this.#owned.use(clock.every(bookmarkMs, () => this.#bookmark()));
  }

  /** Sends what the client has not got, as far as it takes it. */
  fill(): void {
    while (!this.#ended && (this.#controller.desiredSize ?? 0) > 0) {
      if (this.#initial.length > 0) this.#sendInitial();
      else if (this.#initialEnd) this.#endInitial();
      else if (!this.#sendHistory()) return;
    }
  }

  end(): void {
    this.#ended = true;
    this.#owned.dispose();
  }

  #sendInitial(): void {
    const lines: string[] = [];
    while (this.#initial.length > 0 && lines.length < pageRows) {
      const stored = this.#initial.pop();
      const text = stored && this.#parts.store.text(stored.revision);
      if (text !== undefined && this.#selected(text)) lines.push(this.#line("ADDED", text));
    }
    this.#send(lines);
  }

  #endInitial(): void {
    this.#initialEnd = false;
    this.#send([this.#bookmarkLine({ "k8s.io/initial-events-end": "true" })]);
  }

  /** @returns false when there is nothing more to send */
  #sendHistory(): boolean {
    const { store } = this.#parts;
    if (this.#live) return false;
    if (this.#cursor < store.compactedRevision) {
      this.#expire();
      return false;
    }
    const changes = store.since(this.#options.resource, this.#cursor, pageRows);
    this.#live = changes.length < pageRows;
    this.#cursor = this.#live ? store.revision : (changes.at(-1)?.revision ?? this.#cursor);
    this.#send(changes.flatMap((change) => this.#lines(change)));
    return true;
  }

  #hear(changes: readonly Change[]): void {
    const [first] = changes;
    const last = changes.at(-1);
    if (this.#ended || !first || !last || !this.#live) return;
    if ((this.#controller.desiredSize ?? 0) <= 0) {
      this.#live = false;
      this.#cursor = first.revision - 1;
      return;
    }
    this.#cursor = last.revision;
    this.#send(changes.flatMap((change) => this.#lines(change)));
  }

  #lines(change: Change): string[] {
    if (!change.key.startsWith(this.#options.prefix)) return [];
    if (this.#plain) return [this.#line(change.type, change.text)];
    const now = change.type !== "DELETED" && this.#selected(change.text);
    const before = this.#wasSelected(change);
    if (now) return [this.#line(before ? "MODIFIED" : "ADDED", change.text)];
    return before ? [this.#line("DELETED", change.text)] : [];
  }

  #wasSelected(change: Change): boolean {
    if (change.previous === undefined) return false;
    const text = this.#parts.store.text(change.previous);
    return text === undefined ? change.type === "DELETED" : this.#selected(text);
  }

  #selected(text: string): boolean {
    return this.#plain || selects(this.#options.selection, JSON.parse(text) as KubeObject);
  }

  #line(type: string, text: string): string {
    const { kind, wanted } = this.#options;
    const own = textAs(kind, text);
    if (wanted.form === "object") return `{"type":"${type}","object":${own}}\n`;
    const object = JSON.parse(own) as JsonObject;
    return `${JSON.stringify({ type, object: wanted.form === "partial" ? partialOf(object) : this.#row(object) })}\n`;
  }

  #row(object: JsonObject): JsonObject {
    const { kind, wanted } = this.#options;
    const { resourceVersion = "" } = (object["metadata"] ?? {}) as JsonObject;
    const columns = !this.#columnsSent;
    this.#columnsSent = true;
    const nowMs = this.#parts.clock.nowMs();
    return tableOf(kind, [object], { wanted, nowMs, metadata: { resourceVersion }, columns });
  }

  #bookmark(): void {
    if (this.#ended || !this.#live || (this.#controller.desiredSize ?? 0) <= 0) return;
    this.#cursor = this.#parts.store.revision;
    this.#send([this.#bookmarkLine(undefined)]);
  }

  #bookmarkLine(annotations: JsonObject | undefined): string {
    const { kind, wanted } = this.#options;
    const partial = wanted.form === "partial";
    const metadata = {
      resourceVersion: String(this.#cursor),
      creationTimestamp: null,
      ...(annotations && { annotations }),
    };
    const object = partial
      ? { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata }
      : { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
    const shown = wanted.form === "table" ? this.#emptyTable(object) : object;
    return `${JSON.stringify({ type: "BOOKMARK", object: shown })}\n`;
  }

  #emptyTable(object: JsonObject): JsonObject {
    const { kind, wanted } = this.#options;
    const metadata = { resourceVersion: String(this.#cursor) };
    const table = tableOf(kind, [], { wanted, nowMs: 0, metadata, columns: false });
    return { ...table, rows: [{ cells: [], object }] };
  }

  #expire(): void {
    const { status } = expiredAt(this.#cursor, this.#parts.store.compactedRevision);
    this.#send([`${JSON.stringify({ type: "ERROR", object: status })}\n`]);
    this.#close();
  }

  #finish(): void {
    if (this.#ended) return;
    if (this.#options.bookmarks) this.#bookmark();
    this.#close();
  }

  #close(): void {
    this.end();
    this.#controller.close();
  }

  #send(lines: readonly string[]): void {
    if (lines.length > 0) this.#controller.enqueue(this.#encoder.encode(lines.join("")));
  }
}

export function expiredAt(revision: number, compacted: number): { readonly status: Status } {
  return refusals.expired(`too old resource version: ${revision} (${compacted})`);
}
