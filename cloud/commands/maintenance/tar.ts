import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { writeAll } from "#shared/files";

/** Of the ustar format (POSIX.1-2001, pax): headers and contents are padded to it. */
const blockBytes = 512;
/** Databases may be larger than memory: contents are copied in pieces of this size. */
const chunkBytes = 1024 * 1024;
/** Sizes from here on do not fit 11 octal digits and are written in binary, as GNU tar does. */
const mostOctal = 8 ** 11;

export interface TarEntry {
  readonly path: string;
  readonly size: number;
  /** of the content, hexadecimal */
  readonly sha256: string;
}

/** Appends a file to an open archive, chunk by chunk. @throws Error when the file shrinks meanwhile */
export function addFile(archive: number, path: string, source: string, modifiedMs: number): TarEntry {
  const file = openSync(source, "r");
  try {
    const { size } = fstatSync(file);
    writeAll(archive, headerOf(path, size, modifiedMs));
    const hash = createHash("sha256");
    let left = size;
    const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(size, 1)));
    while (left > 0) {
      const read = readSync(file, chunk, 0, Math.min(left, chunk.length), null);
      if (read === 0) throw new Error(`${source} became shorter while it was read`);
      hash.update(chunk.subarray(0, read));
      writeAll(archive, chunk.subarray(0, read));
      left -= read;
    }
    writeAll(archive, padding(size));
    return { path, size, sha256: hash.digest("hex") };
  } finally {
    closeSync(file);
  }
}

/** Appends a file with this content. */
export function addContent(archive: number, path: string, content: Uint8Array, modifiedMs: number): void {
  writeAll(archive, headerOf(path, content.length, modifiedMs));
  writeAll(archive, content);
  writeAll(archive, padding(content.length));
}

export function endArchive(archive: number): void {
  writeAll(archive, Buffer.alloc(2 * blockBytes));
}

/** Takes the content of an entry, chunk by chunk. */
export type Sink = (chunk: Uint8Array) => void;

/**
 * Reads an archive from its start. `open` returns where the content of an entry goes, and throws to refuse it.
 * @throws Error when it is not an archive, or is truncated
 */
export function readArchive(
  path: string,
  open: (entry: string, size: number) => Sink & Disposable,
): TarEntry[] {
  const archive = openSync(path, "r");
  try {
    const entries: TarEntry[] = [];
    for (;;) {
      const header = parseHeader(readExactly(archive, blockBytes));
      if (!header) return entries;
      entries.push(readEntry(archive, header, open));
    }
  } finally {
    closeSync(archive);
  }
}

function readEntry(
  archive: number,
  { path, size }: Header,
  open: (entry: string, size: number) => Sink & Disposable,
): TarEntry {
  const hash = createHash("sha256");
  using sink = open(path, size);
  for (let left = size; left > 0;) {
    const chunk = readExactly(archive, Math.min(left, chunkBytes));
    hash.update(chunk);
    sink(chunk);
    left -= chunk.length;
  }
  readExactly(archive, padding(size).length);
  return { path, size, sha256: hash.digest("hex") };
}

interface Header {
  readonly path: string;
  readonly size: number;
}

/** @returns undefined at the block of zeros that ends an archive */
function parseHeader(block: Buffer): Header | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  const sum = Number.parseInt(textAt(block, 148, 8), 8);
  if (sum !== checksumOf(block))
    throw new Error("it is not an archive of `cloudcore backup`, or it is damaged");
  const size =
    (block[124] ?? 0) & 0x80
      ? Number(block.readBigUInt64BE(128))
      : Number.parseInt(textAt(block, 124, 12), 8);
  return { path: textAt(block, 0, 100), size };
}

function headerOf(path: string, size: number, modifiedMs: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  if (Buffer.byteLength(path) > 99) throw new Error(`the name ${path} is too long for an archive`);
  block.write(path, 0, "utf8");
  block.write("0000600\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  if (size < mostOctal) block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  block.write(
    `${Math.floor(modifiedMs / 1000)
      .toString(8)
      .padStart(11, "0")}\0`,
    136,
  );
  block.write("0", 156);
  block.write("ustar\u{0}00", 257);
  block.write(`${checksumOf(block).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** The sum of a header's bytes, its checksum field (148 to 155) counted as blanks. */
function checksumOf(block: Buffer): number {
  return block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0);
}

function textAt(block: Buffer, start: number, length: number): string {
  const text = block.toString("utf8", start, start + length);
  return (text.split("\0")[0] ?? "").trim();
}

function padding(size: number): Buffer {
  return Buffer.alloc((blockBytes - (size % blockBytes)) % blockBytes);
}

function readExactly(file: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const read = readSync(file, bytes, done, length - done, null);
    if (read === 0) throw new Error("it is truncated");
    done += read;
  }
  return bytes;
}
