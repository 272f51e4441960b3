import {
  encodeControl,
  encodeData,
  flagFin,
  frameTypes,
  numbers,
  type SpdyFrame,
} from "#internal/shared/spdy/frame.ts";
import { FrameReader } from "#internal/shared/spdy/frame-reader.ts";
import { HeaderWriter } from "#internal/shared/spdy/header-blocks.ts";
import type { SpdyConnection } from "#shared/spdy";

/** A client of SPDY at the other end of a connection in memory. */
export class PlayedClient implements Disposable {
  readonly connection: SpdyConnection;
  readonly #toServer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #frames: AsyncGenerator<SpdyFrame>;
  readonly #headers = new HeaderWriter();
  readonly #closed = Promise.withResolvers<void>();

  constructor() {
    const up = new TransformStream<Uint8Array, Uint8Array>();
    const down = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 64 });
    this.#toServer = up.writable.getWriter();
    this.#toServer.closed.catch(() => undefined);
    this.#frames = framesOf(down.readable);
    this.connection = {
      readable: up.readable,
      writable: down.writable,
      closed: this.#closed.promise,
      destroy: () => this.leave(),
    };
  }

  /** The connection is lost. */
  leave(): void {
    this.#closed.resolve();
    this.#toServer.abort(new Error("gone")).catch(() => undefined);
  }

  /** Ends what it sends. */
  async finish(): Promise<void> {
    await this.#toServer.close();
  }

  async open(id: number, headers: Readonly<Record<string, string>>, flags = 0): Promise<void> {
    const block = await this.#headers.write(new Map(Object.entries(headers)));
    const fields = Buffer.concat([numbers(id, 0), Buffer.from([0, 0]), block]);
    await this.send(encodeControl(frameTypes.synStream, fields, flags));
  }

  data(id: number, text: string | Uint8Array, isFin = false): Promise<void> {
    return this.send(encodeData(id, Buffer.from(text), isFin));
  }

  ping(id: number): Promise<void> {
    return this.send(encodeControl(frameTypes.ping, numbers(id)));
  }

  reset(id: number): Promise<void> {
    return this.send(encodeControl(frameTypes.reset, numbers(id, 5)));
  }

  send(bytes: Uint8Array): Promise<void> {
    return this.#toServer.write(bytes);
  }

  /** The next frame of the server, in words. */
  async next(): Promise<string> {
    const { done, value } = await this.#frames.next();
    return done === true ? "end" : describe(value);
  }

  [Symbol.dispose](): void {
    this.#headers[Symbol.dispose]();
    this.leave();
  }
}

async function* framesOf(readable: ReadableStream<Uint8Array>): AsyncGenerator<SpdyFrame> {
  const reader = new FrameReader();
  for await (const bytes of readable) yield* reader.read(bytes);
}

const typeNames = new Map<number, string>(Object.entries(frameTypes).map(([name, type]) => [type, name]));

/** `data 1 "hello" fin`, `synReply 1`, `reset 3 3`, `ping 1`, `goAway 5 0`. */
export function describe(frame: SpdyFrame): string {
  if (frame.kind === "data")
    return `data ${frame.id} ${JSON.stringify(Buffer.from(frame.bytes).toString())}${frame.isFin ? " fin" : ""}`;
  const view = new DataView(frame.payload.buffer, frame.payload.byteOffset, frame.payload.byteLength);
  const count = frame.type === frameTypes.synReply ? 1 : frame.payload.length / 4;
  const values = Array.from({ length: count }, (_none, at) => view.getUint32(4 * at));
  return [
    typeNames.get(frame.type) ?? frame.type,
    ...values,
    ...((frame.flags & flagFin) === 0 ? [] : ["fin"]),
  ].join(" ");
}
