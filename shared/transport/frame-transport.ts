/**
 * A connection that carries whole frames in both directions, each of them text or bytes. The protocol above it (KubeEdge's
 * JSON messages in text frames, byte streams in binary ones) does not see what carries the frames: WebSocket today.
 */
export interface FrameTransport {
  /** Whether frames can be sent now: not while it connects or closes. */
  readonly isOpen: boolean;
  /** Bytes that were sent and that the operating system has not taken yet: the sender's measure of backpressure. */
  readonly bufferedAmount: number;
  /** Settles once, when the connection is closed, by either side; never rejects. */
  readonly closed: Promise<TransportClosed>;
  /** Sets who receives frames, in the place of the one before. Frames are reported in order, and none after `closed`. */
  listen(listener: TransportListener): void;
  /**
   * Queues a frame. It is lost when the connection closes first.
   * @param written called when the operating system took it, or when it never will
   */
  send(frame: string | Uint8Array, written?: () => void): void;
  /** Stops reading until `resume`: the peer meets backpressure. */
  pause(): void;
  resume(): void;
  /** Sends a ping; the peer returns the mark once it has read all frames sent before (RFC 6455, 5.5.2). */
  ping(mark: string): void;
  /** Starts the closing handshake. @param reason at most 123 bytes of UTF-8 (RFC 6455, 5.5.1) */
  close(code: number, reason: string): void;
  /** Cuts the connection without a closing handshake. */
  terminate(): void;
}

export interface TransportListener {
  readonly onText: (frame: string) => void;
  /** Gets text frames in the place of `onText`, as they are: some peers send bytes in them that are no UTF-8. */
  readonly onTextBytes?: (frame: Uint8Array) => void;
  /** The bytes are the transport's again when it returns. */
  readonly onBinary: (frame: Uint8Array) => void;
  /** The peer sent a ping, which is answered already. */
  readonly onPing?: () => void;
  readonly onPong?: (mark: string) => void;
  /** The connection fails; it closes next. */
  readonly onError: (error: Error) => void;
}

export interface TransportClosed {
  /** of the peer's close frame (RFC 6455, 7.4); 1006 when there was none */
  readonly code: number;
  readonly reason: string;
}
