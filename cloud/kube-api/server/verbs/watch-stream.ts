import { ConvertedPages, type Conversions } from "#cloud/kube-api/custom-resources/conversion";
import {
  pieceBytes,
  type FanOut,
  type OpenStream,
  type PacedStream,
  type ByteSource,
} from "#cloud/kube-api/flow-control";
import { partialOf, tableOf, type Representation } from "#cloud/kube-api/http";
import { shownText, type KindInfo } from "#cloud/kube-api/kinds";
import { parseObject } from "#cloud/kube-api/schema";
import { everything, selects, type Selection } from "#cloud/kube-api/selection";
import { Refusal, refusals } from "#cloud/kube-api/status";
import type { RevisionChange, RevisionStore } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import { asError } from "#shared/errors";
import { metadataOf, type JsonObject } from "#shared/json";
import { apiVersionOf, type KubeObject, type Status } from "#shared/kube";
import { selectedForm } from "./resource-request.ts";

export interface WatchOptions {
  readonly kind: KindInfo;
  readonly resource: string;
  /** `<namespace>/`, or empty for all namespaces */
  readonly prefix: string;
  readonly selection: Selection;
  readonly wanted: Representation;
  /** Events after this revision; undefined: the current objects first. */
  readonly after: number | undefined;
  readonly bookmarks: boolean;
  /** Marks the end of the initial objects with a bookmark. */
  readonly initialEnd: boolean;
  /** 0: half an hour to an hour, as upstream (--min-request-timeout) */
  readonly timeoutSeconds: number;
  /** When the credential of its user expires. */
  readonly expiresMs: number | undefined;
}

export interface WatchParts {
  readonly store: RevisionStore;
  readonly clock: Clock;
  readonly fanOut: FanOut;
  readonly conversions: Conversions;
}

/** As upstream, about once a minute. */
const bookmarkMs = 60_000;
/** Rows read from the store at a time, with `pieceBytes` as the other limit. */
const pageRows = 200;
/** Characters of a batch of changes; a larger one is read again from the store, piece by piece, by each watcher. */
const largestBatch = 8 * 1024 * 1024;
/** Pushed pieces that may wait for the connection: one on its way and one more, so that a burst is not read from the store. */
const eventsAhead = 2;

/**
 * The events of one collection as a stream of JSON lines. A client that reads slowly is served from the store where it
 * stopped, which takes no memory, until the history it needs is compacted: then it gets an Expired event (410) and the stream
 * ends. The connection of a client that does not read at all is closed.
 */
export function answerWatch(parts: WatchParts, options: WatchOptions, open: OpenStream): Response {
  const { after, resource } = options;
  const oldest = oldestFor(parts, options);
  const headers = { "Content-Type": "application/json;stream=watch", "Cache-Control": "no-cache, private" };
  if (after !== undefined && after < oldest) {
    const { status } = expiredAt(after, oldest);
    return new Response(`${JSON.stringify({ type: "ERROR", object: status })}\n`, { headers });
  }
  const what = `watch ${resource.replace(/^\//, "")}`;
  const watch = new Watch(parts, options);
  const stream = watch.start((source) => open(source, { what, ahead: eventsAhead }));
  return new Response(stream, { headers });
}

/** Where a watch can start: what was selected is known as long as lists can be read; without a selection it is not asked. */
function oldestFor({ store }: WatchParts, { selection, resource }: WatchOptions): number {
  return selection === everything ? store.compactedRevision : store.oldestOf(resource);
}

/** What a timer takes. */
const longestTimeoutMs = 2 ** 31 - 1;

function timeoutMs({ clock }: WatchParts, { timeoutSeconds, expiresMs = Infinity }: WatchOptions): number {
  const ms = timeoutSeconds > 0 ? timeoutSeconds * 1000 : 1_800_000 * (1 + clock.random());
  return Math.min(ms, longestTimeoutMs, expiresMs - clock.nowMs());
}

class Watch implements ByteSource {
  readonly #parts: WatchParts;
  readonly #options: WatchOptions;
  readonly #encoder = new TextEncoder();
  readonly #owned = new DisposableStack();
  readonly #plain: boolean;
  readonly #form: (text: string) => KubeObject;
  /** Watches with the same key send the same bytes for a batch; undefined: not shared. */
  readonly #sharedAs: string | undefined;
  #stream: PacedStream | undefined;
  /** Revisions of the objects to be sent as ADDED first. */
  #initial: Float64Array | undefined;
  #initialAt = 0;
  #initialEnd = false;
  /** Everything up to this revision was sent. */
  #cursor: number;
  /** The cursor is at the newest revision of this resource: changes are pushed, not read from the store. */
  #live = false;
  /** Batches of changes that it is not notified of yet. */
  #announced = 0;
  #columnsSent = false;
  #last = false;
  /** Set where a webhook may have to convert: events are prepared one page after the other, and never pushed. */
  readonly #pages: ConvertedPages | undefined;

  constructor(parts: WatchParts, options: WatchOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#plain = options.selection === everything;
    this.#form = selectedForm(options.kind, options.selection);
    const { kind, wanted, resource, prefix } = options;
    if (parts.conversions.concern(kind))
      this.#pages = new ConvertedPages(
        (texts) => parts.conversions.texts(kind, texts),
        () => this.#stream?.fill(),
      );
    this.#sharedAs =
      this.#plain && wanted.form !== "table"
        ? [resource, apiVersionOf(kind), wanted.form, prefix].join(" ")
        : undefined;
    const { store } = parts;
    this.#cursor = options.after ?? store.revision;
    if (options.after === undefined) {
      this.#initial = store.revisions(resource, prefix);
      this.#initialEnd = options.initialEnd;
    }
  }

  start(open: (source: ByteSource) => PacedStream): ReadableStream<Uint8Array> {
    const { store, clock } = this.#parts;
    const { resource, bookmarks } = this.#options;
    const stream = open(this);
    this.#stream = stream;
    this.#owned.use(store.follow(resource, (changes) => this.#announce(changes)));
    this.#owned.use(clock.after(timeoutMs(this.#parts, this.#options), () => this.#finish()));
    if (bookmarks) this.#owned.use(clock.every(bookmarkMs, () => this.#bookmark()));
    // The headers of an answer are sent with its first byte: without one an idle watch looks dead.
    stream.push(newline);
    return stream.readable;
  }

  next(): Uint8Array | "later" | undefined {
    if (this.#last) return undefined;
    const page = this.#pages?.take();
    // A client lists again after a failure.
    if (this.#pages?.failed === true) this.#last = true;
    if (page) return page;
    if (this.#initial) return this.#nextInitial(this.#initial);
    if (this.#initialEnd) return this.#endInitial();
    return this.#nextHistory();
  }

  ended(): void {
    this.#last = true;
    this.#initial = undefined;
    this.#owned.dispose();
  }

  #nextInitial(revisions: Float64Array): Uint8Array | "later" {
    const { store } = this.#parts;
    const texts: string[] = [];
    let size = 0;
    while (this.#initialAt < revisions.length && texts.length < pageRows && size < pieceBytes) {
      const text = store.text(revisions[this.#initialAt] ?? 0);
      this.#initialAt += 1;
      // What is converted is selected by what it then is.
      if (text === undefined || (!this.#pages && !this.#selected(text))) continue;
      texts.push(text);
      size += text.length;
    }
    if (this.#initialAt >= revisions.length) this.#initial = undefined;
    return this.#page(texts, () =>
      texts.filter((text) => !this.#pages || this.#selected(text)).map((text) => this.#line("ADDED", text)),
    );
  }

  /** The bytes of lines, when what they are made of is converted. */
  #page(texts: readonly string[], lines: () => readonly string[]): Uint8Array | "later" {
    const bytes = (): Uint8Array => this.#bytes(lines());
    const failed = (error: unknown): Uint8Array => this.#errorBytes(statusOf(error));
    return this.#pages ? this.#pages.begin({ texts, bytes, failed }) : bytes();
  }

  #endInitial(): Uint8Array {
    this.#initialEnd = false;
    return this.#bytes([this.#bookmarkLine({ "k8s.io/initial-events-end": "true" })]);
  }

  #nextHistory(): Uint8Array | "later" {
    const { store } = this.#parts;
    if (this.#live) return "later";
    if (this.#cursor < this.#oldest()) return this.#expire();
    const changes = store.since(this.#options.resource, this.#cursor, { rows: pageRows, size: pieceBytes });
    this.#live = changes.at(-1) === undefined;
    this.#cursor = changes.at(-1)?.revision ?? store.revision;
    if (this.#live) return "later";
    const lines = (): string[] => changes.flatMap((change) => this.#lines(change));
    return this.#page(this.#pages ? this.#textsOf(changes) : [], lines);
  }

  /** What the lines of changes are made of. */
  #textsOf(changes: readonly RevisionChange[]): string[] {
    return changes
      .filter(({ key }) => key.startsWith(this.#options.prefix))
      .flatMap(({ text, previous }) => {
        const before = this.#plain || previous === undefined ? undefined : this.#parts.store.text(previous);
        return before === undefined ? [text] : [text, before];
      });
  }

  #announce(changes: readonly RevisionChange[]): void {
    this.#announced += 1;
    this.#parts.fanOut.run(() => {
      this.#announced -= 1;
      try {
        this.#onChanges(changes);
      } catch {
        // Such as an error of the disk. When it is read again and fails again, this stream ends by it, and no other.
        this.#fallBehind(changes);
      }
    });
  }

  #onChanges(changes: readonly RevisionChange[]): void {
    const newest = changes.at(-1)?.revision ?? 0;
    // What is not newer than the cursor was read from the store meanwhile.
    if (this.#last || !this.#live || newest <= this.#cursor) return;
    if (!this.#canPush(changes)) return this.#fallBehind(changes);
    this.#cursor = newest;
    this.#push(changes);
  }

  #canPush(changes: readonly RevisionChange[]): boolean {
    if (this.#pages || this.#stream?.ready !== true || isLarge(changes)) return false;
    // Else what they replaced may be gone, which tells what was selected.
    return (changes[0]?.revision ?? 0) > this.#oldest();
  }

  /** Changes are read from the store from here on, as the connection takes them. */
  #fallBehind(changes: readonly RevisionChange[]): void {
    this.#live = false;
    this.#cursor = (changes[0]?.revision ?? 1) - 1;
    if (this.#stream?.ready === true) this.#stream.fill();
  }

  #push(changes: readonly RevisionChange[]): void {
    const make = (): Uint8Array => this.#bytes(changes.flatMap((change) => this.#lines(change)));
    const key = this.#sharedAs;
    this.#stream?.push(key === undefined ? make() : this.#parts.fanOut.linesOf(changes, key, make));
  }

  #lines(change: RevisionChange): string[] {
    if (!change.key.startsWith(this.#options.prefix)) return [];
    if (this.#plain) return [this.#line(change.type, change.text)];
    const now = change.type !== "DELETED" && this.#selected(change.text);
    const before = this.#wasSelected(change);
    if (now) return [this.#line(before ? "MODIFIED" : "ADDED", change.text)];
    return before ? [this.#line("DELETED", change.text)] : [];
  }

  #wasSelected(change: RevisionChange): boolean {
    if (change.previous === undefined) return false;
    const text = this.#parts.store.text(change.previous);
    return text === undefined ? change.type === "DELETED" : this.#selected(text);
  }

  #selected(text: string): boolean {
    return this.#plain || selects(this.#options.selection, this.#form(this.#shown(text)));
  }

  #line(type: string, text: string): string {
    const { kind, wanted } = this.#options;
    const shown = shownText(kind, this.#shown(text));
    if (wanted.form === "object") return `{"type":"${type}","object":${shown}}\n`;
    const object = parseObject(shown);
    return `${JSON.stringify({ type, object: wanted.form === "table" ? this.#row(object) : partialOf(object) })}\n`;
  }

  /** In the version of the kind, where a webhook converts. */
  #shown(text: string): string {
    return this.#pages?.shown(text) ?? text;
  }

  #row(object: JsonObject): JsonObject {
    const { kind, wanted } = this.#options;
    const { resourceVersion = "" } = metadataOf(object);
    const columns = !this.#columnsSent;
    this.#columnsSent = true;
    const nowMs = this.#parts.clock.nowMs();
    return tableOf(kind, [object], { wanted, nowMs, metadata: { resourceVersion }, columns });
  }

  #bookmark(): void {
    if (this.#last || !this.#live || this.#stream?.ready !== true) return;
    if (this.#announced === 0) this.#cursor = this.#parts.store.revision;
    this.#stream.push(this.#bytes([this.#bookmarkLine(undefined)]));
  }

  #bookmarkLine(annotations: JsonObject | undefined): string {
    const { kind, wanted } = this.#options;
    const partial = wanted.form === "partial" || wanted.form === "partials";
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

  #oldest(): number {
    return oldestFor(this.#parts, this.#options);
  }

  #expire(): Uint8Array {
    this.#last = true;
    return this.#errorBytes(expiredAt(this.#cursor, this.#oldest()).status);
  }

  #errorBytes(status: Status): Uint8Array {
    return this.#bytes([`${JSON.stringify({ type: "ERROR", object: status })}\n`]);
  }

  #finish(): void {
    if (this.#last) return;
    if (this.#options.bookmarks) this.#bookmark();
    this.#last = true;
    this.#stream?.finish();
  }

  #bytes(lines: readonly string[]): Uint8Array {
    return lines.length === 0 ? nothing : this.#encoder.encode(lines.join(""));
  }
}

const newline = new Uint8Array([10]);
const nothing = new Uint8Array(0);

function isLarge(changes: readonly RevisionChange[]): boolean {
  return changes.length > 1 && changes.reduce((sum, { text }) => sum + text.length, 0) > largestBatch;
}

function statusOf(error: unknown): Status {
  return (error instanceof Refusal ? error : refusals.unknown(asError(error).message)).status;
}

function expiredAt(revision: number, compacted: number): { readonly status: Status } {
  return refusals.expired(`too old resource version: ${revision} (${compacted})`);
}
