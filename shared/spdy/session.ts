import { asError, ClosedError, ProtocolError } from "#shared/errors";
import {
  encodeControl,
  encodeData,
  flagFin,
  frameTypes,
  idAt,
  numberAt,
  numbers,
  resetCodes,
  type ControlFrame,
  type DataPiece,
} from "./frame.ts";
import { FrameReader } from "./frame-reader.ts";
import { HeaderReader, HeaderWriter, type SpdyHeaders } from "./header-blocks.ts";
import { SpdyStream } from "./stream.ts";

/** What a session runs on; a `Connection` of `shared/upgrades` is one. */
export interface SpdyConnection {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Settles when the connection is closed, with the reason where it has a text for it. */
  readonly closed: Promise<unknown>;
  destroy(): void;
}

export interface SpdySessionOptions {
  readonly connection: SpdyConnection;
  /** At the server: the client opened a stream, which is accepted already. A client takes none. */
  readonly onStream?: (stream: SpdyStream) => void;
  /** At a time; further ones are refused. */
  readonly mostStreams: number;
}

/** The largest id of 31 bits. */
const largestId = 0x7f_ff_ff_ff;
const headerOffsets: Readonly<Record<number, number>> = {
  [frameTypes.synStream]: 10,
  [frameTypes.synReply]: 4,
  [frameTypes.headers]: 4,
};

/**
 * SPDY/3.1 as programs of Kubernetes speak it (`moby/spdystream`): the client opens all streams, and both ignore windows
 * and send no settings that matter. Frames are answered in order, and nothing is read while an answer waits for the connection,
 * so that a peer that does not read is not read either.
 */
export class SpdySession {
  /** Settles once with what ended it; never rejects. */
  readonly closed: Promise<{ readonly reason: string }>;
  readonly #options: SpdySessionOptions;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #streams = new Map<number, SpdyStream>();
  /** Streams that were opened and have no reply yet. */
  readonly #opening = new Map<number, PromiseWithResolvers<void>>();
  readonly #headerReader = new HeaderReader();
  readonly #headerWriter = new HeaderWriter();
  #lastId = 0;
  #isClosing = false;
  #isOver = false;

  constructor(options: SpdySessionOptions) {
    this.#options = options;
    this.#writer = options.connection.writable.getWriter();
    // Each write fails with it.
    this.#writer.closed.catch(() => undefined);
    this.closed = this.#run();
    // Reading may wait for the reader of a stream.
    void options.connection.closed.then((reason) => {
      if (typeof reason === "string") this.#cut(reason);
      // A server ends a connection after what it has sent, which waits to be read still.
      else if (options.onStream) this.#cut("the peer has gone");
    });
  }

  /** At the client: opens a stream. @throws ClosedError when the server refuses it, or the connection is lost */
  async open(headers: SpdyHeaders): Promise<SpdyStream> {
    const id = this.#lastId === 0 ? 1 : this.#lastId + 2;
    this.#lastId = id;
    const stream = this.#add(id, headers);
    const reply = Promise.withResolvers<void>();
    this.#opening.set(id, reply);
    // The connection may be lost before all is written.
    await Promise.all([this.#ask(id, headers), reply.promise]);
    return stream;
  }

  /** The block has to be written in the order of the ids: the next one goes on where it ends. */
  async #ask(id: number, headers: SpdyHeaders): Promise<void> {
    const block = await this.#headerWriter.write(headers);
    await this.#write(
      encodeControl(frameTypes.synStream, Buffer.concat([numbers(id, 0), Uint8Array.of(0, 0), block])),
    );
  }

  /** Tells the peer that this is the end, and ends the connection after what was written. */
  async close(): Promise<void> {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#control(frameTypes.goAway, numbers(this.#lastId, 0));
    await this.#writer.close().catch(() => undefined);
  }

  async #run(): Promise<{ readonly reason: string }> {
    let reason = "the peer has gone";
    try {
      const reader = new FrameReader();
      for await (const bytes of this.#options.connection.readable)
        for (const frame of reader.read(bytes))
          await (frame.kind === "data" ? this.#data(frame) : this.#receive(frame));
      await this.#finishStreams();
    } catch (error) {
      reason = asError(error).message;
      if (error instanceof ProtocolError) this.#control(frameTypes.goAway, numbers(this.#lastId, 1));
    }
    this.#end(reason);
    return { reason };
  }

  /** At the client: kubelet ends the connection, and not its streams. What they have waiting is theirs still. */
  async #finishStreams(): Promise<void> {
    if (this.#options.onStream) return;
    for (const stream of Array.from(this.#streams.values())) await stream.receive(new Uint8Array(), true);
  }

  #end(reason: string): void {
    this.#isOver = true;
    this.#cut(reason);
    this.#headerReader[Symbol.dispose]();
    this.#headerWriter[Symbol.dispose]();
    if (this.#isClosing) return;
    this.#isClosing = true;
    const { connection } = this.#options;
    void this.#writer.close().catch(() => connection.destroy());
  }

  #cut(reason: string): void {
    for (const stream of Array.from(this.#streams.values())) stream.cut(reason);
    for (const { reject } of this.#opening.values()) reject(new ClosedError(reason));
    this.#opening.clear();
  }

  async #data({ id, bytes, isFin }: DataPiece): Promise<void> {
    const stream = this.#streams.get(id);
    // Of a stream that is over already, the client may not know yet.
    if (stream) await stream.receive(bytes, isFin);
    else if (id > this.#lastId) await this.#reset(id, resetCodes.invalidStream);
  }

  async #receive(frame: ControlFrame): Promise<void> {
    const { type, payload, flags } = frame;
    const headers = await this.#headersOf(frame);
    const stream = this.#streams.get(idAt(payload));
    switch (type) {
      case frameTypes.synStream:
        if (headers) await this.#open(idAt(payload), headers, (flags & flagFin) !== 0);
        break;
      case frameTypes.synReply:
        this.#settle(idAt(payload));
        break;
      case frameTypes.headers:
        if ((flags & flagFin) !== 0) await stream?.receive(new Uint8Array(), true);
        break;
      case frameTypes.reset:
        await this.#resetByPeer(stream, payload);
        break;
      case frameTypes.ping:
        await this.#pong(frame);
        break;
      default:
      // Settings and windows bind nobody here, GOAWAY is followed by the end; what is not known is passed over (2.2.1).
    }
  }

  async #resetByPeer(stream: SpdyStream | undefined, payload: Uint8Array): Promise<void> {
    const code = numberAt(payload, 4);
    this.#settle(idAt(payload), new ClosedError(`the stream was refused (${code})`));
    // A server ends its streams so, whatever it has sent; that can be read still.
    if (!this.#options.onStream) await stream?.receive(new Uint8Array(), true);
    stream?.cut(`the peer reset the stream (${code})`);
  }

  /** Those with ids of this end are answers to ours, and there are none (2.6.5). */
  async #pong({ type, payload }: ControlFrame): Promise<void> {
    const theirs = this.#options.onStream ? 1 : 0;
    if (numberAt(payload, 0) % 2 === theirs) await this.#write(encodeControl(type, payload.subarray(0, 4)));
  }

  /** A stream that was opened is answered, or refused. */
  #settle(id: number, refusal?: Error): void {
    const opening = this.#opening.get(id);
    this.#opening.delete(id);
    if (refusal) opening?.reject(refusal);
    else opening?.resolve();
  }

  /** Every block is read, also of streams that are refused: the next one goes on where it ends. */
  async #headersOf({ type, payload }: ControlFrame): Promise<SpdyHeaders | undefined> {
    const offset = headerOffsets[type];
    if (offset === undefined) return undefined;
    if (payload.length < offset) throw new ProtocolError("short-frame", "a control frame is too short");
    return this.#headerReader.read(payload.subarray(offset));
  }

  async #open(id: number, headers: SpdyHeaders, isFin: boolean): Promise<void> {
    if (id % 2 === 0 || id <= this.#lastId || id > largestId)
      throw new ProtocolError("bad-stream-id", `stream ${id} cannot follow stream ${this.#lastId}`);
    this.#lastId = id;
    const { onStream, mostStreams } = this.#options;
    if (!onStream || this.#isClosing || this.#streams.size >= mostStreams)
      return this.#reset(id, resetCodes.refusedStream);
    const stream = this.#add(id, headers);
    const block = await this.#headerWriter.write(new Map());
    await this.#write(encodeControl(frameTypes.synReply, Buffer.concat([numbers(id), block])));
    onStream(stream);
    if (isFin) await stream.receive(new Uint8Array(), true);
  }

  #add(id: number, headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream({
      id,
      headers,
      send: (bytes, fin) => this.#write(encodeData(id, bytes, fin)),
      sendReset: (code) => this.#control(frameTypes.reset, numbers(id, code)),
      over: () => void this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #reset(id: number, code: number): Promise<void> {
    return this.#write(encodeControl(frameTypes.reset, numbers(id, code)));
  }

  /** Sends a frame that nobody waits for; one a stream at most. */
  #control(type: number, payload: Uint8Array): void {
    this.#write(encodeControl(type, payload)).catch(() => undefined);
  }

  async #write(frame: Uint8Array): Promise<void> {
    if (this.#isOver) throw new ClosedError("the peer has gone");
    await this.#writer.write(frame);
  }
}
