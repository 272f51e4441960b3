import type { Clock } from "#shared/clock";
import type { KubeObject } from "#shared/kube";
import { apiVersionOf, type NodeObjects, type ObjectEvent } from "#edge/meta-server/objects";
import { keysOf, type CollectionRequest } from "./list.ts";
import { objectText } from "./representation.ts";
import { isSelected } from "./selection.ts";

export interface WatchRequest extends CollectionRequest {
  /** Events after this change; undefined: the present objects first. */
  readonly after: number | undefined;
  readonly bookmarks: boolean;
  /** A bookmark marks the end of the present objects. */
  readonly initialEnd: boolean;
  readonly timeoutMs: number;
}

/** What a slow reader may leave unread before its watch ends: it lists again. */
const mostUnread = 4 * 1024 * 1024;
/** About once a minute, as kube-apiserver. */
const bookmarkMs = 60_000;
const pieceLength = 64 * 1024;

/** Events of a collection as lines of JSON, until it is ended. */
export class NodeWatch {
  readonly response: Response;
  readonly #objects: NodeObjects;
  readonly #request: WatchRequest;
  readonly #clock: Clock;
  readonly #owned = new DisposableStack();
  readonly #encoder = new TextEncoder();
  readonly #onEnd: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  /** Keys of the objects that are sent first. */
  #initial: string[];
  #initialIndex = 0;
  #initialEnd: boolean;
  readonly #startChange: number;
  /** Lines that wait for the reader. */
  #lines: string[] = ["\n"];
  #unread = 0;
  #columnsSent = false;
  #ended = false;

  constructor(
    objects: NodeObjects,
    request: WatchRequest,
    deps: { readonly clock: Clock; readonly onEnd: () => void },
  ) {
    this.#objects = objects;
    this.#request = request;
    this.#clock = deps.clock;
    this.#onEnd = deps.onEnd;
    this.#initial = request.after === undefined ? keysOf(objects, request) : [];
    this.#initialEnd = request.after === undefined && request.initialEnd;
    this.#startChange = objects.change;
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => this.#flush(),
        cancel: () => this.#finish(),
      },
      { highWaterMark: 1 },
    );
    this.response = new Response(body, {
      headers: { "Content-Type": "application/json;stream=watch", "Cache-Control": "no-cache, private" },
    });
    if (request.after !== undefined) for (const event of objects.since(request.after)) this.#take(event);
    this.#owned.use(objects.follow((event) => this.#take(event)));
    this.#owned.use(deps.clock.after(request.timeoutMs, () => this.end()));
    if (request.bookmarks) this.#owned.use(deps.clock.every(bookmarkMs, () => this.#bookmark()));
    this.#flush();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Ends it after what was sent: the client watches again. */
  end(): void {
    if (this.#ended) return;
    this.#finish();
    this.#controller?.close();
  }

  /** Ends it with an Expired event: the client lists again, from whatever answers then. */
  expire(message: string): void {
    if (this.#ended) return;
    const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message };
    const object = { ...status, reason: "Expired", code: 410 };
    this.#controller?.enqueue(this.#encoder.encode(`${JSON.stringify({ type: "ERROR", object })}\n`));
    this.end();
  }

  #take(event: ObjectEvent): void {
    const { kind, namespace, selection } = this.#request;
    if (event.kind !== kind) return;
    const { object, removed, added } = event;
    if (namespace !== undefined && object.metadata.namespace !== namespace) return;
    const selected = isSelected(selection, object);
    // What is removed, or not selected any more, may never have been sent: clients take that for nothing.
    if (!selected && removed) return;
    const type = removed || !selected ? "DELETED" : added ? "ADDED" : "MODIFIED";
    this.#put(type, object);
    this.#flush();
  }

  #put(type: string, object: KubeObject): void {
    const { kind, form } = this.#request;
    const text = objectText(form, kind, object, {
      nowMs: this.#clock.nowMs(),
      columns: !this.#columnsSent,
    });
    this.#columnsSent = true;
    this.#add(`{"type":"${type}","object":${text}}\n`);
  }

  #add(line: string): void {
    this.#lines.push(line);
    this.#unread += line.length;
    if (this.#unread > mostUnread) this.expire("the watch was read too slowly");
  }

  #bookmark(): void {
    if (this.#initialIndex < this.#initial.length) return;
    this.#add(this.#bookmarkLine(this.#objects.change));
    this.#flush();
  }

  #bookmarkLine(change: number, annotations?: Readonly<Record<string, string>>): string {
    const { kind, form } = this.#request;
    const resourceVersion = this.#objects.version(change);
    const metadata = { resourceVersion, creationTimestamp: null, ...(annotations && { annotations }) };
    const object =
      form === "table"
        ? { kind: "Table", apiVersion: "meta.k8s.io/v1", metadata: { resourceVersion }, rows: [] }
        : { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
    return `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
  }

  /** Hands on what waits while the reader has room; the objects that are sent first come before events. */
  #flush(): void {
    while (!this.#ended && (this.#controller?.desiredSize ?? 0) > 0) {
      const text = this.#nextInitial() ?? this.#nextLines();
      if (text === "") return;
      this.#controller?.enqueue(this.#encoder.encode(text));
    }
  }

  #nextInitial(): string | undefined {
    const { kind, selection, form } = this.#request;
    let text = "";
    while (this.#initialIndex < this.#initial.length && text.length < pieceLength) {
      const object = this.#objects.read(kind, this.#initial[this.#initialIndex] ?? "");
      this.#initialIndex += 1;
      if (!object || !isSelected(selection, object)) continue;
      const options = { nowMs: this.#clock.nowMs(), columns: !this.#columnsSent };
      this.#columnsSent = true;
      text += `{"type":"ADDED","object":${objectText(form, kind, object, options)}}\n`;
    }
    if (text !== "") return text;
    if (!this.#initialEnd) return undefined;
    this.#initialEnd = false;
    // Events since the start wait in line: they are after it.
    return this.#bookmarkLine(this.#startChange, { "k8s.io/initial-events-end": "true" });
  }

  #nextLines(): string {
    let text = "";
    while (this.#lines.length > 0 && text.length < pieceLength) text += this.#lines.shift() ?? "";
    this.#unread = Math.max(0, this.#unread - text.length);
    return text;
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#lines = [];
    this.#initial = [];
    this.#owned.dispose();
    this.#onEnd();
  }
}
