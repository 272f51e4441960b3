import { randomUUID } from "node:crypto";
import type { Clock } from "#shared/clock";
import type { Logger } from "#shared/log";
import type { DeliveredObject, NodeMessage } from "#shared/topics";
import type { FrameTransport } from "#shared/transport";
import { decode, encode, ok, responseTo, sources, type WireMessage } from "#shared/wire";
import { AckLane } from "./ack-lane.ts";
import { needsAck, sortUpstream, type Upstream } from "#cloud/cloud-hub/codec";
import { SessionRequests, type RequestOptions } from "./session-requests.ts";

const maxBuffered = 64 * 1024 * 1024;
const repeatBelow = 1024 * 1024;
const pauseAbove = 512;
const resumeBelow = 128;

export interface SessionOptions {
  readonly node: string;
  readonly transport: FrameTransport;
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sending: (node: string, object: DeliveredObject) => Promise<string>;
  readonly acked: (node: string, object: DeliveredObject, deleted: boolean) => void;
  /** Resolves when the modules have handled it. */
  readonly forward: (kind: "twin" | "node", message: NodeMessage) => Promise<void>;
  /** @returns whether it is on disk */
  readonly store: (message: NodeMessage) => Promise<boolean>;
  readonly ended: (session: Session, reason: string) => void;
}

/** A reason of a close frame may have 123 bytes (RFC 6455, 5.5.1). */
const longestReason = 120;
/** For the peer to answer a close frame. */
const closeMs = 2000;

/** One connection of one node. Once ended it neither sends nor takes anything, whatever its transport still does. */
export class Session {
  readonly node: string;
  readonly #options: SessionOptions;
  readonly #lane: AckLane;
  readonly #requests: SessionRequests;
  #lastKeepaliveMs: number;
  /** when the transport last took something, while something waits for it */
  #lastWrittenMs: number;
  #buffered = 0;
  #forwarding = 0;
  #badFrames = 0;
  #binaryFrames = 0;
  #onPong: (mark: string) => void = () => undefined;
  #paused = false;
  #ended = false;

  constructor(options: SessionOptions) {
    const { node, clock, log, transport } = options;
    this.node = node;
    this.#options = options;
    this.#lastKeepaliveMs = clock.monotonicMs();
    this.#lastWrittenMs = this.#lastKeepaliveMs;
    this.#requests = new SessionRequests(node, clock);
    this.#lane = new AckLane({
      clock,
      write: (message, repeated) => this.#write(message, repeated),
      sending: (object) => options.sending(node, object),
      acked: (object, deleted) => options.acked(node, object, deleted),
      failed: (sentence, fields) => log.warn(sentence, { node, ...fields }),
      overflow: () => this.end(1013, "too many objects wait for the node"),
    });
    transport.listen({
      onText: (frame) => this.#receive(frame),
      onBinary: (frame) => this.#receiveBinary(frame),
      onPong: (mark) => this.#onPong(mark),
      onError: (error) => this.end(1011, `connection failed: ${error.message}`),
    });
    void transport.closed.then(({ code }) => this.end(1000, `connection closed (${code})`));
  }

  send(message: WireMessage): void {
    if (this.#ended) return;
    if (needsAck(message)) this.#lane.submit(message);
    else this.#write(message, false);
  }

  /** Sends a question and waits for what the node answers. @throws UnavailableError */
  request(message: WireMessage, options: RequestOptions): Promise<WireMessage> {
    return this.#requests.ask(message, options, (question) => this.send(question));
  }

  /** Called about each second: ends a silent or stuck session, repeats what is not acknowledged. */
  sweep(nowMs: number): void {
    if (this.#paused) this.#lastKeepaliveMs = nowMs;
    const { keepaliveMs, writeTimeoutMs, transport } = this.#options;
    const { bufferedAmount } = transport;
    if (bufferedAmount === 0 || bufferedAmount < this.#buffered) this.#lastWrittenMs = nowMs;
    this.#buffered = bufferedAmount;
    if (nowMs - this.#lastKeepaliveMs > keepaliveMs) this.end(1001, "no keepalive in time");
    else if (nowMs - this.#lastWrittenMs > writeTimeoutMs) this.end(1013, "the node does not read in time");
    else this.#lane.sweep(nowMs);
  }

  /** Closes the connection and tells `ended`; the first call counts. */
  end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#stop(reason);
    this.hangUp(code, reason);
    this.#options.ended(this, reason);
  }

  /**
   * A newer connection has its place: nothing is said or taken any more. Resolves whether the peer still answers, which
   * one that has dialed again does not: then there are two of them. The connection is still to be hung up.
   */
  async retire(withinMs: number): Promise<boolean> {
    if (this.#ended) return false;
    this.#stop("the node connected again");
    const { transport, clock } = this.#options;
    if (!transport.isOpen) return false;
    const sent = randomUUID();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    using _limit = clock.after(withinMs, () => resolve(false));
    this.#onPong = (mark) => mark === sent && resolve(true);
    void transport.closed.then(() => resolve(false));
    transport.ping(sent);
    return await promise;
  }

  hangUp(code: number, reason: string): void {
    const { transport, clock } = this.#options;
    transport.close(code, cutBytes(reason, longestReason));
    // A peer that is gone never answers the close.
    const kill = clock.after(closeMs, () => transport.terminate());
    void transport.closed.then(() => kill[Symbol.dispose]());
  }

  #stop(reason: string): void {
    this.#ended = true;
    this.#lane[Symbol.dispose]();
    this.#requests.end(reason);
    if (this.#paused) this.#options.transport.resume();
  }

  #write(message: WireMessage, repeated: boolean): boolean {
    const { transport } = this.#options;
    if (this.#ended || !transport.isOpen) return false;
    if (repeated && transport.bufferedAmount > repeatBelow) return false;
    transport.send(encode(message), this.#written);
    if (transport.bufferedAmount <= maxBuffered) return true;
    this.end(1013, "the node does not read what is sent");
    return false;
  }

  readonly #written = (): void => {
    this.#lastWrittenMs = this.#options.clock.monotonicMs();
  };

  #receive(frame: string): void {
    if (this.#ended) return;
    const decoded = decode(frame);
    if (!decoded.ok) {
      this.#badFrames += 1;
      this.#logOnce("dropped a frame that is not a message", this.#badFrames, { reason: decoded.reason });
      return;
    }
    this.#sort(sortUpstream(this.node, decoded.message), decoded.message);
  }

  #sort(upstream: Upstream, received: WireMessage): void {
    const { log, clock, forward } = this.#options;
    const { node } = this;
    switch (upstream.kind) {
      case "keepalive":
        this.#lastKeepaliveMs = clock.monotonicMs();
        break;
      case "ack":
        if (!this.#requests.settle(received)) this.#lane.acknowledge(upstream.parentId);
        break;
      case "error":
        if (!this.#requests.settle(received)) this.#tellError(received);
        break;
      case "refused":
        log.error("Refused a message of a node", { node, reason: upstream.reason, ...received.route });
        this.#answer(received, forbidden(upstream.reason));
        break;
      case "upload":
        void this.#handle(() => this.#store(upstream.message));
        break;
      case "twin":
      case "node":
        void this.#handle(() => forward(upstream.kind, { node, message: upstream.message }));
    }
  }

  #tellError({ route, content }: WireMessage): void {
    this.#options.log.warn("A node could not handle a message", {
      node: this.node,
      resource: route.resource,
      text: String(content).slice(0, 500),
    });
  }

  /** What is not on disk is not answered: the node keeps it. */
  async #store(message: WireMessage): Promise<void> {
    if (await this.#options.store({ node: this.node, message })) this.#answer(message, ok);
  }

  #answer(message: WireMessage, content: unknown): void {
    const { clock } = this.#options;
    const stamp = { id: () => randomUUID(), nowMs: () => clock.nowMs() };
    this.send(responseTo(stamp, message, content, { source: sources.cloudHub }));
  }

  /** Keeps the order of the node's messages; stops reading while the modules are far behind. */
  async #handle(work: () => Promise<void>): Promise<void> {
    this.#forwarding += 1;
    if (this.#forwarding >= pauseAbove && !this.#paused) {
      this.#paused = true;
      this.#options.transport.pause();
    }
    try {
      await work();
    } finally {
      this.#forwarding -= 1;
      if (this.#paused && this.#forwarding < resumeBelow && !this.#ended) {
        this.#paused = false;
        this.#options.transport.resume();
      }
    }
  }

  /** Binary frames carry byte streams, which this cloud does not serve yet. */
  #receiveBinary(frame: Uint8Array): void {
    if (this.#ended) return;
    this.#binaryFrames += 1;
    this.#logOnce("dropped a binary frame: byte streams are not supported", this.#binaryFrames, {
      bytes: frame.length,
    });
  }

  /** A warning the first time in a session, then only debug: a broken peer must not fill the log. */
  #logOnce(sentence: string, count: number, fields: Record<string, unknown>): void {
    const { log } = this.#options;
    log[count === 1 ? "warn" : "debug"](sentence, { node: this.node, ...fields, count });
  }
}

/** Without it the node would send the message again and again. */
function forbidden(message: string): unknown {
  return { ErrStatus: { metadata: {}, status: "Failure", message, reason: "Forbidden", code: 403 } };
}

/** As much of a text as fits, in whole characters. */
function cutBytes(text: string, most: number): string {
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    if (bytes > most) break;
    end += character.length;
  }
  return text.slice(0, end);
}
