import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";

/** First bytes of every database, and the header after them: https://www.sqlite.org/fileformat2.html, section 1.3. */
export const magic = "SQLite format 3\u{0}";
const headerBytes = 100;
const pageSizeOffset = 16;
const pageCountOffset = 28;
const freeListOffset = 32;

/**
 * Makes a database readable that was cut off, or whose first bytes are lost, as far as its pages are there: SQLite reads
 * nothing of a file whose header does not fit. `like` is a sound database of the same kind.
 */
export function repairHeader(path: string, like: string): void {
  const file = openSync(path, "r+");
  try {
    const { size } = fstatSync(file);
    const found = readHeader(file);
    const header = found.toString("latin1", 0, magic.length) === magic ? found : headerOf(like);
    const pageBytes =
      header.readUInt16BE(pageSizeOffset) === 1 ? 65_536 : header.readUInt16BE(pageSizeOffset);
    if (header === found) {
      const wanted = header.readUInt32BE(pageCountOffset) * pageBytes;
      if (size < wanted) ftruncateSync(file, wanted);
      return;
    }
    header.writeUInt32BE(Math.floor(size / pageBytes), pageCountOffset);
    header.fill(0, freeListOffset, freeListOffset + 8);
    writeSync(file, header, 0, headerBytes, 0);
  } finally {
    closeSync(file);
  }
}

function headerOf(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    return readHeader(file);
  } finally {
    closeSync(file);
  }
}

function readHeader(file: number): Buffer {
  const header = Buffer.alloc(headerBytes);
  readSync(file, header, 0, headerBytes, 0);
  return header;
}
