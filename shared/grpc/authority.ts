import type { Socket } from "node:net";
import { Duplex } from "node:stream";

const prefaceBytes = 24;
const headBytes = 9;
/** The largest frame that a server takes which does not say otherwise (RFC 9113, section 4.2). */
const largestFrame = 16_384;
const headersType = 1;
const flags = { padded: 0x08, priority: 0x20 } as const;
/** Of `:authority` in the static table of HPACK. */
const authorityIndex = 1;
/** A text of one byte, without Huffman coding. An entry of the dynamic table never grows by it. */
const plainValue = Buffer.from("\u0001h");

/**
 * The connection of a client, with an authority in its requests that HTTP/2 here takes. grpc-go sends the path of the socket as it
 * is, and a slash is not allowed there: without this, mappers in Go get PROTOCOL_ERROR for each call.
 */
export function withPlainAuthority(socket: Socket): Duplex {
  const rewriter = new AuthorityRewriter();
  const stream = new Duplex({
    read: () => void socket.resume(),
    write: (bytes: Uint8Array, _encoding, done) => void socket.write(bytes, done),
    final: (done) => void socket.end(done),
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (bytes) => {
    if (!stream.push(rewriter.take(bytes))) socket.pause();
  });
  socket.once("end", () => stream.push(null));
  socket.once("close", () => stream.destroy());
  // "close" follows.
  socket.on("error", () => undefined);
  return stream;
}

/** What a client of HTTP/2 sends, with another value in each `:authority` that is written out (HPACK, RFC 7541). */
export class AuthorityRewriter {
  #rest: Uint8Array = new Uint8Array();
  /** Of what passes as it is. */
  #passing = prefaceBytes;

  /** @returns what may be read now; the rest of a head or of a frame of headers is kept, at most 16 KiB */
  take(bytes: Uint8Array): Uint8Array {
    let rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const taken: Uint8Array[] = [];
    for (;;) {
      const passed = Math.min(this.#passing, rest.length);
      taken.push(rest.subarray(0, passed));
      this.#passing -= passed;
      rest = rest.subarray(passed);
      if (rest.length < headBytes) break;
      const size = lengthOf(rest);
      if (rest[3] !== headersType || size > largestFrame) {
        this.#passing = headBytes + size;
        continue;
      }
      if (rest.length < headBytes + size) break;
      taken.push(rewritten(rest.subarray(0, headBytes + size)));
      rest = rest.subarray(headBytes + size);
    }
    this.#rest = rest;
    return Buffer.concat(taken);
  }
}

function lengthOf(frame: Uint8Array): number {
  return new DataView(frame.buffer, frame.byteOffset).getUint32(0) >>> 8;
}

/** A frame of headers that cannot be read stays as it is: the server refuses it. */
function rewritten(frame: Uint8Array): Uint8Array {
  const flag = frame[4] ?? 0;
  const padding = flag & flags.padded ? (frame[headBytes] ?? 0) : 0;
  const start = headBytes + (flag & flags.padded ? 1 : 0) + (flag & flags.priority ? 5 : 0);
  const found = findAuthority(frame, start, frame.length - padding);
  if (!found) return frame;
  const after = Buffer.concat([frame.subarray(0, found.start), plainValue, frame.subarray(found.end)]);
  after.writeUIntBE(after.length - headBytes, 0, 3);
  return after;
}

interface Part {
  readonly start: number;
  readonly end: number;
}

/** Where the value of the authority is, with its length. */
function findAuthority(bytes: Uint8Array, start: number, end: number): Part | undefined {
  let at = start;
  while (at < end) {
    const first = bytes[at] ?? 0;
    const isIndexed = (first & 0x80) !== 0;
    const isLiteral = !isIndexed && (first & 0xe0) !== 0x20;
    const index = readInteger(bytes, at, isIndexed ? 7 : prefixOf(first));
    at = index.end;
    if (!isLiteral) continue;
    if (index.value === 0) at = endOfText(bytes, at);
    const value = { start: at, end: endOfText(bytes, at) };
    at = value.end;
    if (index.value === authorityIndex) return at <= end && value.end - value.start > 1 ? value : undefined;
  }
  return undefined;
}

/** Bits of the index: of a literal that is kept, of a size of the table, of another literal. */
function prefixOf(first: number): number {
  if ((first & 0x40) !== 0) return 6;
  return (first & 0x20) === 0 ? 4 : 5;
}

function endOfText(bytes: Uint8Array, at: number): number {
  const { value, end } = readInteger(bytes, at, 7);
  return end + value;
}

/** An integer of HPACK; past the end it is 0, and what is larger than a frame ends the search. */
function readInteger(
  bytes: Uint8Array,
  at: number,
  prefix: number,
): { readonly value: number; readonly end: number } {
  const most = 2 ** prefix - 1;
  let value = (bytes[at] ?? 0) & most;
  let end = at + 1;
  if (value < most) return { value, end };
  for (let factor = 1; factor < 2 ** 28; factor *= 128) {
    const byte = bytes[end] ?? 0;
    end += 1;
    value += (byte & 127) * factor;
    if (byte < 128) break;
  }
  return { value, end };
}
