import { deflateSync, inflateSync } from "node:zlib";

/** A value that a device reported, without what follows from it. */
export interface ValueRecord {
  readonly deviceId: string;
  /** of its Device object; empty when it is not known */
  readonly uid: string;
  readonly name: string;
  readonly type: string;
  readonly value: string;
  /** milliseconds since 1970 */
  readonly atMs: number;
  /** The edge's version of the value: a row of the database with the same or a later one has it already. */
  readonly version: number;
}

/** Records that were written together. */
export interface Batch {
  readonly sequence: number;
  readonly records: readonly ValueRecord[];
}

export interface ReadBatch extends Batch {
  /** Where the next one begins in the file. */
  readonly end: number;
}

/** What a batch has to match to be of this database and not of an earlier use of the file. */
export interface BatchMark {
  readonly salt: number;
  readonly generation: number;
}

/** salt, generation, sequence, bytes of the text, CRC-32 of all before and of the text; each a 32-bit integer, little endian. */
const headBytes = 20;

type Fields = readonly [string, string, string, string, string, number, number];

/** Shorter texts take a sector either way. */
const compressedFrom = 400;
/** First byte of a text that is not compressed. A zlib stream begins with 0x78. */
const plainStart = "[".charCodeAt(0);

/**
 * @param sequence of the last record in it; batches of a file come in order
 * @param options.compress the names and ids that all records have cost little then
 */
export function encodeBatch(
  mark: BatchMark,
  { sequence, records }: Batch,
  { compress }: { readonly compress: boolean },
): Buffer {
  const fields = records.map((one): Fields => [
    one.deviceId,
    one.uid,
    one.name,
    one.type,
    one.value,
    one.atMs,
    one.version,
  ]);
  const plain = Buffer.from(JSON.stringify(fields));
  const text = compress && plain.length > compressedFrom ? deflateSync(plain, { level: 1 }) : plain;
  const head = Buffer.alloc(headBytes);
  head.writeUInt32LE(mark.salt, 0);
  head.writeUInt32LE(mark.generation >>> 0, 4);
  head.writeUInt32LE(sequence >>> 0, 8);
  head.writeUInt32LE(text.length, 12);
  head.writeUInt32LE(sumOf(head, text), 16);
  return Buffer.concat([head, text]);
}

/** Reads the batches of a file from its start, up to the first that is torn, of another use of the file or out of order. */
export function* decodeBatches(file: Buffer, mark: BatchMark, alignment: number): Generator<ReadBatch, void> {
  let before = 0;
  for (let at = 0; at + headBytes <= file.length;) {
    const head = file.subarray(at, at + headBytes);
    const length = head.readUInt32LE(12);
    const sequence = head.readUInt32LE(8);
    const text = file.subarray(at + headBytes, at + headBytes + length);
    const isOurs = head.readUInt32LE(0) === mark.salt && head.readUInt32LE(4) === mark.generation >>> 0;
    if (!isOurs || sequence <= before || text.length < length || sumOf(head, text) !== head.readUInt32LE(16))
      return;
    before = sequence;
    at += Math.ceil((headBytes + length) / alignment) * alignment;
    yield { sequence, records: recordsOf(text), end: at };
  }
}

function sumOf(head: Buffer, text: Buffer): number {
  return Bun.hash.crc32(Buffer.concat([head.subarray(0, 16), text]));
}

function recordsOf(text: Buffer): ValueRecord[] {
  // Written by `encodeBatch`, which the checksum confirms.
  const plain = text[0] === plainStart ? text : inflateSync(text);
  const fields = JSON.parse(plain.toString("utf8")) as readonly Fields[];
  return fields.map(([deviceId, uid, name, type, value, atMs, version]) => ({
    deviceId,
    uid,
    name,
    type,
    value,
    atMs,
    version,
  }));
}
