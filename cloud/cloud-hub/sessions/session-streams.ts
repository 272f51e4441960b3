import { UnavailableError } from "#shared/errors";
import { StreamChannel, type ByteStream, type StreamChannelOptions, type StreamHead } from "#shared/streams";

export interface SessionStreamsOptions extends Pick<
  StreamChannelOptions,
  "transport" | "nowMs" | "accept" | "broken"
> {
  readonly node: string;
  /** Whether the node announced that it has streams. */
  readonly supported: boolean;
}

/** The byte streams of one session; none with a node that did not announce them. */
export class SessionStreams {
  readonly #node: string;
  readonly #channel: StreamChannel | undefined;
  #ended: string | undefined;

  constructor({ node, supported, ...options }: SessionStreamsOptions) {
    this.#node = node;
    this.#channel = supported ? new StreamChannel({ ...options, end: "cloud" }) : undefined;
  }

  /**
   * @throws UnavailableError when the node has no streams, has too many open, or has disconnected; RangeError when the head
   * is too long
   */
  open(head: StreamHead): ByteStream {
    const what = `Cannot open a stream to node "${this.#node}"`;
    if (this.#ended !== undefined) throw new UnavailableError("node-gone", `${what}: ${this.#ended}`);
    if (!this.#channel)
      throw new UnavailableError("no-streams", `${what}: its edgecore does not support streams`);
    return this.#channel.open(head);
  }

  /** @returns false when the node has no streams, and may send no such frame */
  receive(frame: Uint8Array): boolean {
    this.#channel?.receive(frame);
    return this.#channel !== undefined;
  }

  /** Resets all streams, without a word to the peer. */
  end(reason: string): void {
    this.#ended ??= reason;
    this.#channel?.end(reason);
  }
}
