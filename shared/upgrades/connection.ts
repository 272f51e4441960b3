/** A connection that carries bytes in both directions, each at the pace of its reader. */
export interface Connection {
  /** Ends when the peer has finished; errors when the connection is lost. */
  readonly readable: ReadableStream<Uint8Array>;
  /** A write resolves once more may be written, and rejects when the connection is lost. Closing it ends the connection. */
  readonly writable: WritableStream<Uint8Array>;
  /** Settles once, when the connection is closed, by either side; never rejects. */
  readonly closed: Promise<void>;
  /** Ends it at once. */
  destroy(): void;
}
