import type { Clock } from "#shared/clock";
import { describeError, quote, UnavailableError } from "#shared/errors";
import type { Logger } from "#shared/log";
import { StreamChannel, type ByteStream, type StreamHead } from "#shared/streams";
import type { FrameTransport } from "#shared/transport";

export interface LinkStreamsOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Logger;
  /** While the cloud is held back, it may open no streams, and none are opened to it. */
  readonly isHeld: () => boolean;
  /** By the name of a service: hands a stream to the module that serves it. */
  readonly services: ReadonlyMap<string, (stream: ByteStream) => Promise<undefined>>;
  /** The cloud breaks the protocol: the link is to be dialed again. */
  readonly broken: (reason: string) => void;
}

/** The byte streams of the present link, if the cloud has them. */
export class LinkStreams {
  readonly #options: LinkStreamsOptions;
  #channel: StreamChannel | undefined;
  #isUp = false;
  #unsupported = 0;

  constructor(options: LinkStreamsOptions) {
    this.#options = options;
  }

  /** Whether the cloud at the other end of the link has streams. */
  get areSupported(): boolean {
    return this.#channel !== undefined;
  }

  /** @param supported whether the cloud announced streams */
  linkUp(transport: Pick<FrameTransport, "isOpen" | "send">, supported: boolean): void {
    this.#isUp = true;
    if (!supported) return;
    this.#channel = new StreamChannel({
      transport,
      end: "node",
      nowMs: () => this.#options.clock.monotonicMs(),
      accept: (stream) => void this.#accept(stream),
      broken: this.#options.broken,
    });
  }

  linkDown(reason: string): void {
    this.#isUp = false;
    this.#channel?.end(reason);
    this.#channel = undefined;
  }

  /** @throws UnavailableError when there is no link, the cloud has no streams or is held back, or too many are open */
  open(head: StreamHead): ByteStream {
    const what = "Cannot open a stream to the cloud";
    if (!this.#isUp) throw new UnavailableError("no-link", `${what}: no link`);
    if (!this.#channel)
      throw new UnavailableError("no-streams", `${what}: its cloudcore does not support streams`);
    if (this.#options.isHeld())
      throw new UnavailableError("cloud-held", `${what}: its database is not the one this node belongs to`);
    return this.#channel.open(head);
  }

  /** Takes a binary frame. Those of a cloud that did not announce streams are dropped. */
  take(frame: Uint8Array): void {
    if (this.#channel) {
      this.#channel.receive(frame);
      return;
    }
    this.#unsupported += 1;
    if (this.#unsupported === 1)
      this.#options.log.warn("dropped a binary frame of a cloud that did not announce byte streams", {
        bytes: frame.length,
      });
  }

  async #accept(stream: ByteStream): Promise<void> {
    const { service } = stream.head;
    const { isHeld, services } = this.#options;
    const serve = services.get(service);
    try {
      if (isHeld()) stream.reset("the node belongs to another database and holds this cloud back");
      else if (serve) await serve(stream);
      else stream.reset(`edgecore does not serve streams of service ${quote(service)}`);
    } catch (error) {
      stream.reset(describeError(error));
    }
  }
}
