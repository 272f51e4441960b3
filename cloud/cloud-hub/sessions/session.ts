import { randomUUID } from "node:crypto";
import {
  readUpstream,
  refusalAnswer,
  stampOf,
  uploadAnswer,
  type DownstreamMessage,
  type ModuleMessage,
  type NodeReply,
  type ReplyAddress,
  type TrackedObject,
  type UpstreamMessage,
} from "#cloud/cloud-hub/codec";
import type { Clock } from "#shared/clock";
import type { LogFields, Logger } from "#shared/log";
import type { ByteStream, StreamHead } from "#shared/streams";
import type { DeliveredObject, DeviceUpload } from "#shared/topics";
import type { FrameTransport } from "#shared/transport";
import { AckLane } from "./ack-lane.ts";
import { SessionQuestions, type QuestionOptions } from "./questions.ts";
import { SessionStreams } from "./session-streams.ts";

/** Two of the largest messages: a node that reads nothing must not fill the memory. */
const maxBuffered = 64 * 1024 * 1024;
/** With more before it a repetition would arrive late, and the original may still be on its way. */
const repeatBelow = 1024 * 1024;
/** Uploads that wait for the disk: reading stops above the one and goes on below the other. */
const pauseAbove = 512;
const resumeBelow = 128;
/** A reason of a close frame may have 123 bytes (RFC 6455, 5.5.1). */
const longestReason = 120;
/** For the peer to answer a close frame. */
const closeMs = 2000;

export interface SessionOptions {
  readonly node: string;
  readonly transport: FrameTransport;
  /** Whether the node has byte streams. */
  readonly streams: boolean;
  readonly keepaliveMs: number;
  readonly writeTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sending: (node: string, object: DeliveredObject) => Promise<string>;
  readonly acked: (node: string, object: DeliveredObject, deleted: boolean) => void;
  /** Hands a message to its module, which answers in its own time. */
  readonly forward: (node: string, message: ModuleMessage) => void;
  /** @returns whether it is on disk */
  readonly store: (upload: DeviceUpload) => Promise<boolean>;
  /** Takes a stream that the node opened. */
  readonly accept: (node: string, stream: ByteStream) => void;
  readonly ended: (session: Session, reason: string) => void;
}

/** One connection of one node. Once ended it neither sends nor takes anything, whatever its transport still does. */
export class Session {
  readonly node: string;
  readonly #options: SessionOptions;
  readonly #lane: AckLane;
  readonly #questions: SessionQuestions;
  /** Undefined with a node that did not announce streams. */
  readonly #streams: SessionStreams | undefined;
  #lastKeepaliveMs: number;
  /** when the transport last took something, while something waits for it */
  #lastWrittenMs: number;
  #buffered = 0;
  #storing = 0;
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
    this.#questions = new SessionQuestions(node, clock);
    this.#lane = new AckLane({
      clock,
      write: (message, repeated) => this.#write(message, repeated),
      sending: (object) => options.sending(node, object),
      acked: (object, deleted) => options.acked(node, object, deleted),
      failed: (sentence, fields) => log.warn(sentence, { node, ...fields }),
      overflow: () => this.end(1013, "too many objects wait for the node"),
    });
    this.#streams = options.streams ? this.#makeStreams() : undefined;
    transport.listen({
      onText: (frame) => this.#receive(frame),
      onBinary: (frame) => this.#receiveBinary(frame),
      onPong: (mark) => this.#onPong(mark),
      onError: (error) => this.end(1011, `connection failed: ${error.message}`),
    });
    void transport.closed.then(({ code }) => this.end(1000, `connection closed (${code})`));
  }

  send(message: DownstreamMessage): void {
    if (this.#ended) return;
    if (isTracked(message)) this.#lane.submit(message);
    else this.#write(message, false);
  }

  /** Sends a question and waits for what the node answers. @throws UnavailableError */
  ask(question: DownstreamMessage, options: QuestionOptions): Promise<NodeReply> {
    return this.#questions.ask(question, options, (message) => this.send(message));
  }

  /**
   * @returns undefined when the node has no streams
   * @throws UnavailableError when it has too many open, or has disconnected; RangeError when the head is too long
   */
  openStream(head: StreamHead): ByteStream | undefined {
    return this.#streams?.open(head);
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

  /** Closes the connection and calls `ended`; the first call counts. */
  end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#stop(reason);
    this.hangUp(code, reason);
    this.#options.ended(this, reason);
  }

  /**
   * A newer connection takes its place: nothing is sent or taken any more. Resolves whether the peer still answers, which
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
    this.#questions.end(reason);
    this.#streams?.end(reason);
    if (this.#paused) this.#options.transport.resume();
  }

  #write(message: DownstreamMessage, repeated: boolean): boolean {
    const { transport } = this.#options;
    if (this.#ended || !transport.isOpen) return false;
    if (repeated && transport.bufferedAmount > repeatBelow) return false;
    transport.send(message.encode(), this.#written);
    if (transport.bufferedAmount <= maxBuffered) return true;
    this.end(1013, "the node does not read what is sent");
    return false;
  }

  readonly #written = (): void => {
    this.#lastWrittenMs = this.#options.clock.monotonicMs();
  };

  #receive(frame: string): void {
    if (!this.#ended) this.#sort(readUpstream(this.node, frame));
  }

  /** Binary frames carry byte streams. */
  #receiveBinary(frame: Uint8Array): void {
    if (this.#ended) return;
    if (this.#streams) return this.#streams.receive(frame);
    this.#binaryFrames += 1;
    this.#logOnce("dropped a binary frame: the node did not announce byte streams", this.#binaryFrames, {
      bytes: frame.length,
    });
  }

  #makeStreams(): SessionStreams {
    const { node, clock, transport, accept } = this.#options;
    return new SessionStreams({
      node,
      nowMs: () => clock.monotonicMs(),
      transport: {
        get isOpen() {
          return transport.isOpen;
        },
        // What goes out on streams shows as well that the node reads.
        send: (frame, written) =>
          transport.send(frame, () => {
            this.#written();
            written?.();
          }),
      },
      accept: (stream) => accept(node, stream),
      broken: (reason) => this.end(1002, reason),
    });
  }

  #sort(message: UpstreamMessage): void {
    const { log, clock, forward } = this.#options;
    const { node } = this;
    switch (message.kind) {
      case "malformed":
        this.#badFrames += 1;
        this.#logOnce("dropped a frame that is not a message", this.#badFrames, { reason: message.reason });
        break;
      case "keepalive":
        this.#lastKeepaliveMs = clock.monotonicMs();
        break;
      case "reply":
        this.#settle(message);
        break;
      case "refused":
        log.error("refused a message of a node", { node, reason: message.reason, ...message.route });
        this.send(refusalAnswer(stampOf(clock), message.address, message.reason));
        break;
      case "ignored":
        break;
      case "upload":
        void this.#store(message.upload, message.address);
        break;
      case "request":
      case "unserved":
      case "target":
      case "twin":
        forward(node, message);
    }
  }

  #settle({ parentId, reply, resource }: Extract<UpstreamMessage, { kind: "reply" }>): void {
    if (this.#questions.settle(parentId, reply)) return;
    if (!reply.isError) this.#lane.acknowledge(parentId);
    else
      this.#options.log.warn("a node could not handle a message", {
        node: this.node,
        resource,
        text: reply.text.slice(0, 500),
      });
  }

  /** What is not on disk is not answered: the node keeps it. Reading stops while the disk is far behind. */
  async #store(upload: DeviceUpload, address: ReplyAddress): Promise<void> {
    const { transport, clock, store } = this.#options;
    this.#storing += 1;
    if (this.#storing >= pauseAbove && !this.#paused) {
      this.#paused = true;
      transport.pause();
    }
    try {
      if (await store(upload)) this.send(uploadAnswer(stampOf(clock), address));
    } finally {
      this.#storing -= 1;
      if (this.#paused && this.#storing < resumeBelow && !this.#ended) {
        this.#paused = false;
        transport.resume();
      }
    }
  }

  /** A warning the first time in a session, then only debug: a broken peer must not fill the log. */
  #logOnce(sentence: string, count: number, fields: LogFields): void {
    const { log } = this.#options;
    log[count === 1 ? "warn" : "debug"](sentence, { node: this.node, ...fields, count });
  }
}

function isTracked(message: DownstreamMessage): message is DownstreamMessage & { tracked: TrackedObject } {
  return message.tracked !== undefined;
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
