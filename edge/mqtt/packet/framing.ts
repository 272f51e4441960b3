import { decode } from "./decode.ts";
import { FieldReader } from "./field-reader.ts";
import type { Inbound, Version } from "./packets.ts";
import { PacketError, reasons } from "./reasons.ts";

const mostLengthBytes = 4;
const connect = 0x10;
/** Pieces of a packet that are kept apart: a client may send one byte at a time, and each piece takes memory of its own. */
const mostPieces = 256;

/** Splits what a client sends into packets. It keeps bytes only while a packet is not complete. */
export class PacketStream {
  readonly #maxPacketBytes: number;
  /** of the CONNECT that came; undefined before */
  version: Version | undefined;
  /** what has arrived of packets that are not complete, in pieces: a large packet is joined once */
  #pieces: Buffer[] | undefined;
  #length = 0;
  /** bytes of the packet that is arriving, if its length is known */
  #wanted = 0;

  constructor(maxPacketBytes: number) {
    this.#maxPacketBytes = maxPacketBytes;
  }

  /**
   * Calls `take` with each packet that is complete now, until `take` returns false: then the rest is dropped.
   * @throws PacketError for a packet that violates MQTT, as soon as it is known
   */
  push(chunk: Buffer, take: (packet: Inbound) => boolean): void {
    const [bytes, next] = this.#join(chunk);
    if (!bytes || !this.#split(bytes, take) || !next) return;
    this.#split(next, take);
  }

  /** @returns whether `take` wants more */
  #split(bytes: Buffer, take: (packet: Inbound) => boolean): boolean {
    let start = 0;
    while (start < bytes.length) {
      const head = this.#readHead(bytes, start);
      this.#wanted = head ? head.end - start : 0;
      if (!head || head.end > bytes.length) {
        this.#keep(bytes.subarray(start));
        return true;
      }
      const packet = decode(bytes[start] ?? 0, new FieldReader(bytes, head.start, head.end), this.version);
      if (packet.cmd === "connect") this.version ??= packet.version;
      start = head.end;
      if (!take(packet)) return false;
    }
    return true;
  }

  /** @returns the packet that was arriving, if it is complete now, and what comes behind it: only one packet is copied */
  #join(chunk: Buffer): readonly [Buffer | undefined, Buffer?] {
    const pieces = this.#pieces;
    if (!pieces) return [chunk];
    const missing = this.#wanted === 0 ? chunk.length : this.#wanted - this.#length;
    if (chunk.length < missing) {
      pieces.push(chunk);
      this.#length += chunk.length;
      if (pieces.length > mostPieces) this.#pieces = [Buffer.concat(pieces)];
      return [undefined];
    }
    pieces.push(chunk.subarray(0, missing));
    const joined = Buffer.concat(pieces);
    this.#pieces = undefined;
    this.#length = 0;
    return missing < chunk.length ? [joined, chunk.subarray(missing)] : [joined];
  }

  #keep(rest: Buffer): void {
    // Copied, because a view would keep all that was read with it for as long as the packet takes.
    this.#pieces = [Buffer.from(rest)];
    this.#length = rest.length;
  }

  /** Where the body of a packet starts and ends. @returns undefined when its length has not arrived yet */
  #readHead(bytes: Buffer, start: number): { readonly start: number; readonly end: number } | undefined {
    const first = bytes[start] ?? 0;
    if (this.version === undefined && first !== connect)
      throw new PacketError("first packet is not a CONNECT", reasons.protocolError);
    let length = 0;
    for (let index = 0; index < mostLengthBytes; index += 1) {
      const byte = bytes[start + 1 + index];
      if (byte === undefined) return undefined;
      length += (byte & 0x7f) << (7 * index);
      if (byte < 0x80) return this.#bounded(start + 2 + index, length);
    }
    throw new PacketError("packet length of more than four bytes");
  }

  #bounded(start: number, length: number): { readonly start: number; readonly end: number } {
    if (length > this.#maxPacketBytes)
      throw new PacketError(
        `packet of ${length} bytes: at most ${this.#maxPacketBytes} allowed`,
        reasons.packetTooLarge,
      );
    return { start, end: start + length };
  }
}
