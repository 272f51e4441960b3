import { UnavailableError } from "#shared/errors";
import { StreamChannel, type ByteStream, type StreamChannelOptions, type StreamHead } from "#shared/streams";

export interface SessionStreamsOptions extends Pick<
  StreamChannelOptions,
  "transport" | "nowMs" | "accept" | "broken"
> {
  readonly node: string;
}

/** The byte streams of one session, with a node that announced that it has them. */
export class SessionStreams {
  readonly #node: string;
  readonly #channel: StreamChannel;
  #ended: string | undefined;

  constructor({ node, ...options }: SessionStreamsOptions) {
    this.#node = node;
    this.#channel = new StreamChannel({ ...options, end: "cloud" });
  }

  /** @throws UnavailableError when the node has too many open, or has disconnected; RangeError when the head is too long */
  open(head: StreamHead): ByteStream {
    if (this.#ended !== undefined)
      throw new UnavailableError("node-gone", `Cannot open a stream to node "${this.#node}": ${this.#ended}`);
    return this.#channel.open(head);
  }

  receive(frame: Uint8Array): void {
    this.#channel.receive(frame);
  }

  /** Resets all streams, without a word to the peer. */
  end(reason: string): void {
    this.#ended ??= reason;
    this.#channel.end(reason);
  }
}
