import { PacketError, reasons } from "./reasons.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads the fields of one packet, and never beyond its end. @throws PacketError when there are too few bytes */
export class FieldReader {
  readonly bytes: Buffer;
  at: number;
  end: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  byte(): number {
    return this.bytes[this.#take(1)] ?? 0;
  }

  /** 0 or 1 */
  flag(): number {
    const value = this.byte();
    if (value > 1) throw new PacketError(`${value} where 0 or 1 is allowed`, reasons.protocolError);
    return value;
  }

  word(): number {
    return this.bytes.readUInt16BE(this.#take(2));
  }

  doubleWord(): number {
    return this.bytes.readUInt32BE(this.#take(4));
  }

  /** A variable byte integer (MQTT 5 section 1.5.5). */
  varInt(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) {
        if (byte === 0 && shift > 0)
          throw new PacketError("variable byte integer in more bytes than it needs");
        return value;
      }
    }
    throw new PacketError("variable byte integer of more than four bytes");
  }

  /** A view of the packet. */
  binary(): Buffer {
    const length = this.word();
    const start = this.#take(length);
    return this.bytes.subarray(start, start + length);
  }

  /** UTF-8 without U+0000 (section 1.5.4). */
  text(): string {
    const bytes = this.binary();
    const text = bytes.toString("utf8");
    if (text.includes("\0") || (text.includes("\uFFFD") && !isUtf8(bytes)))
      throw new PacketError("string that is not UTF-8 or contains U+0000");
    return text;
  }

  /** What is left. */
  rest(): Buffer {
    const start = this.at;
    this.at = this.end;
    return this.bytes.subarray(start, this.end);
  }

  /** @throws PacketError when something is left */
  finish(what: string): void {
    if (this.left > 0) throw new PacketError(`${this.left} bytes behind the end of ${what}`);
  }

  #take(length: number): number {
    const start = this.at;
    if (start + length > this.end) throw new PacketError("packet ends within a field");
    this.at = start + length;
    return start;
  }
}

/** Looks at the bytes, since U+FFFD may be sent as such. */
function isUtf8(bytes: Buffer): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
