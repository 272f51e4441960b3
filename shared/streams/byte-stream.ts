/** What the opener of a stream asks for, as JSON of at most 64 KiB. */
export interface StreamHead {
  /** Who is to serve it at the other end, e.g. "service-bus". */
  readonly service: string;
  readonly [field: string]: unknown;
}

/**
 * One of many byte streams on the link between cloudcore and a node: two directions, each with its own credit, so that a
 * reader that is slow holds up its own stream and no other.
 */
export interface ByteStream {
  readonly head: StreamHead;
  /** Ends when the peer has finished. Errors with ClosedError when the stream is reset or the link is lost. */
  readonly readable: ReadableStream<Uint8Array>;
  /** Closing it finishes this direction. A write resolves once it has been sent, and rejects like `readable`. */
  readonly writable: WritableStream<Uint8Array>;
  /** Settles once, when both directions are finished (`reason` is undefined) or the stream was reset; never rejects. */
  readonly closed: Promise<StreamClosed>;
  /** Ends both directions at once, at both ends. */
  reset(reason: string): void;
}

export interface StreamClosed {
  readonly reason: string | undefined;
}
