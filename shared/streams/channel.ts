import { UnavailableError } from "#shared/errors";
import type { FrameTransport } from "#shared/transport";
import type { ByteStream, StreamHead } from "./byte-stream.ts";
import { decodeFrame, encodeFrame, type StreamFrame } from "./frame.ts";
import { freeBytes } from "#shared/bytes";
import { LinkStream } from "./link-stream.ts";
import { LinkWindow, reportEveryBytes } from "./link-window.ts";

/** Streams of one link at once, of both ends together: a node with more open than that has lost count of them. */
const mostStreams = 256;
/**
 * Stream data that may wait for the socket: messages of KubeEdge wait behind it, a second on a link of 512 kbit/s.
 */
const mostUnwritten = 64 * 1024;
/** Frames without data that may wait, heads above all: with more of them no stream is opened. */
const mostUnwrittenHeads = 1024 * 1024;
/** With credit and refusals, which are small, it is more only when the peer asks for them and reads none. */
const mostUnwrittenControl = 2 * mostUnwrittenHeads;
const largestId = 2 ** 32 - 1;
const firstIds = { cloud: 2, node: 1 } as const;

export interface StreamChannelOptions {
  readonly transport: Pick<FrameTransport, "isOpen" | "send">;
  /** Which end this is: the ids of the streams that it opens are even in the cloud, odd on the node. */
  readonly end: "cloud" | "node";
  /** Milliseconds that never go back. */
  readonly nowMs: () => number;
  /** A stream of the peer. The accepter resets one that it does not serve. */
  readonly accept: (stream: ByteStream) => void;
  /** The peer breaks the protocol: the link is to be closed. */
  readonly broken: (reason: string) => void;
}

/** The streams of one link. Streams that have something to send take turns, 32 KiB each. */
export class StreamChannel {
  readonly #options: StreamChannelOptions;
  readonly #streams = new Map<number, LinkStream>();
  readonly #waiting = new Set<LinkStream>();
  #lastId: number;
  #unwritten = 0;
  readonly #window: LinkWindow;
  /** Data that arrived and was not reported yet. */
  #unreported = 0;
  #unwrittenControl = 0;
  #lost: string | undefined;

  constructor(options: StreamChannelOptions) {
    this.#options = options;
    this.#window = new LinkWindow(options.nowMs);
    this.#lastId = firstIds[options.end] - 2;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Opens a stream; it may be written at once.
   * @throws UnavailableError when the link is lost, too slow or has too many streams; RangeError when the head is too long
   */
  open(head: StreamHead): ByteStream {
    if (this.#lost !== undefined || !this.#options.transport.isOpen)
      throw new UnavailableError("link-down", this.#lost ?? "the link is down");
    if (this.#streams.size >= mostStreams)
      throw new UnavailableError("too-many-streams", `${mostStreams} streams are open on this link`);
    if (this.#unwrittenControl > mostUnwrittenHeads)
      throw new UnavailableError("slow-link", "the link is too slow for another stream now");
    const id = this.#freeId();
    const frame = encodeFrame({ type: "open", id, head });
    const stream = this.#add(id, head);
    this.#sendControl(frame);
    return stream;
  }

  /** Takes a binary frame of the peer. */
  receive(bytes: Uint8Array): void {
    if (this.#lost !== undefined) return;
    const frame = decodeFrame(bytes);
    if (!frame) this.#options.broken("a binary frame that is no frame of a stream");
    else if (frame.type === "open") this.#accept(frame.id, frame.head);
    else if (frame.type === "received") this.#widen(frame.bytes);
    else {
      if (frame.type === "data") this.#report(frame.bytes.length);
      // Frames of a stream that is over may still be on their way.
      this.#streams.get(frame.id)?.receive(frame);
    }
  }

  /** The link is lost, and with it all streams. */
  end(reason: string): void {
    this.#lost ??= reason;
    for (const stream of this.#streams.values()) stream.cut(reason);
    this.#waiting.clear();
  }

  /** Reports data as it arrives, whether it is read or not. */
  #report(bytes: number): void {
    this.#unreported += bytes;
    if (this.#unreported < reportEveryBytes) return;
    this.#send({ type: "received", id: 0, bytes: this.#unreported });
    this.#unreported = 0;
  }

  #widen(bytes: number): void {
    if (this.#window.received(bytes)) this.#pump();
    else this.#options.broken("the peer reports more data than it was sent");
  }

  #accept(id: number, head: StreamHead): void {
    const isOfPeer = id % 2 === (this.#options.end === "cloud" ? 1 : 0);
    if (!isOfPeer || this.#streams.has(id)) {
      this.#options.broken(`stream ${id} cannot be opened by this end`);
      return;
    }
    if (this.#streams.size >= mostStreams) {
      this.#send({ type: "reset", id, reason: `${mostStreams} streams are open on this link` });
      return;
    }
    this.#options.accept(this.#add(id, head));
  }

  #add(id: number, head: StreamHead): LinkStream {
    const stream = new LinkStream({
      id,
      head,
      send: (frame) => this.#send(frame),
      ready: (ready) => {
        this.#waiting.add(ready);
        this.#pump();
      },
      over: (over) => {
        this.#streams.delete(over.id);
        this.#waiting.delete(over);
      },
    });
    this.#streams.set(id, stream);
    return stream;
  }

  /** Ids of a link that lasts are used again. */
  #freeId(): number {
    do {
      this.#lastId += 2;
      if (this.#lastId > largestId) this.#lastId = firstIds[this.#options.end];
    } while (this.#streams.has(this.#lastId));
    return this.#lastId;
  }

  #send(frame: StreamFrame): void {
    if (this.#lost !== undefined || !this.#options.transport.isOpen) return;
    const bytes = encodeFrame(frame);
    if (this.#unwrittenControl + bytes.length > mostUnwrittenControl) {
      const reason = "the peer does not read";
      this.end(reason);
      this.#options.broken(reason);
      return;
    }
    this.#sendControl(bytes);
  }

  #sendControl(bytes: Uint8Array): void {
    this.#unwrittenControl += bytes.length;
    this.#options.transport.send(bytes, () => void (this.#unwrittenControl -= bytes.length));
  }

  /** Sends a piece of each stream in turn, as long as the socket takes them. */
  #pump(): void {
    const { transport } = this.#options;
    while (
      this.#waiting.size > 0 &&
      this.#unwritten < mostUnwritten &&
      transport.isOpen &&
      this.#window.canSend()
    ) {
      const [stream] = this.#waiting;
      if (!stream) return;
      this.#waiting.delete(stream);
      const bytes = stream.take();
      if (!bytes) continue;
      if (stream.isReady) this.#waiting.add(stream);
      const { length } = bytes;
      this.#unwritten += length;
      this.#window.sent(length);
      const frame = encodeFrame({ type: "data", id: stream.id, bytes });
      transport.send(frame, () => {
        freeBytes(frame);
        this.#unwritten -= length;
        this.#pump();
      });
    }
  }
}
