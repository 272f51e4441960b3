import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { ProtocolError } from "#shared/errors";
import { headerDictionary } from "./dictionary.ts";

/** Names in lower case. */
export type SpdyHeaders = ReadonlyMap<string, string>;

/** Kubernetes' streams have three headers of a few bytes. */
const largestBlock = 16 * 1024;
const mostHeaders = 64;

/** Reads the header blocks of one direction of a session, which are one compressed text, and so in order. */
export class HeaderReader implements Disposable {
  readonly #inflate: Inflate;
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #fail: ((error: Error) => void) | undefined;

  constructor() {
    this.#inflate = createInflate({ dictionary: headerDictionary(), chunkSize: 4096 });
    this.#inflate.on("data", (piece: Uint8Array) => this.#add(piece));
    this.#inflate.on("error", () => this.#fail?.(notReadable()));
  }

  /** @throws ProtocolError when the block is damaged, or too large */
  async read(block: Uint8Array): Promise<SpdyHeaders> {
    const done = Promise.withResolvers<void>();
    this.#fail = done.reject;
    this.#inflate.write(block);
    this.#inflate.flush(constants.Z_SYNC_FLUSH, () => done.resolve());
    await done.promise;
    this.#fail = undefined;
    const bytes = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return headersOf(bytes);
  }

  [Symbol.dispose](): void {
    this.#fail?.(notReadable());
    this.#inflate.destroy();
  }

  #add(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes <= largestBlock) this.#pieces.push(piece);
    else {
      this.#fail?.(new ProtocolError("long-headers", `headers of more than ${largestBlock} bytes`));
      this.#inflate.destroy();
    }
  }
}

/** Writes the header blocks of one direction of a session. */
export class HeaderWriter implements Disposable {
  readonly #deflate: Deflate;
  #pieces: Uint8Array[] = [];

  constructor() {
    // The smallest windows that hold the dictionary: what is sent is small, and this is memory of each session.
    this.#deflate = createDeflate({
      dictionary: headerDictionary(),
      windowBits: 11,
      memLevel: 1,
      chunkSize: 1024,
    });
    this.#deflate.on("data", (piece: Uint8Array) => this.#pieces.push(piece));
  }

  async write(headers: SpdyHeaders): Promise<Uint8Array> {
    const done = Promise.withResolvers<void>();
    this.#deflate.write(blockOf(headers));
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => done.resolve());
    await done.promise;
    const block = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return block;
  }

  [Symbol.dispose](): void {
    this.#deflate.destroy();
  }
}

function notReadable(): ProtocolError {
  return new ProtocolError("bad-headers", "headers that cannot be read");
}

function headersOf(block: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw notReadable();
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - at) throw notReadable();
    at += length;
    return block.toString("utf8", at - length, at);
  };
  const count = number();
  if (count > mostHeaders) throw new ProtocolError("many-headers", `more than ${mostHeaders} headers`);
  for (let read = 0; read < count; read += 1) headers.set(text().toLowerCase(), text());
  return headers;
}

function blockOf(headers: SpdyHeaders): Buffer {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const text = (value: string): Buffer[] => {
    const bytes = Buffer.from(value);
    return [number(bytes.length), bytes];
  };
  const fields = [...headers].flatMap(([name, value]) => [...text(name), ...text(value)]);
  return Buffer.concat([number(headers.size), ...fields]);
}
