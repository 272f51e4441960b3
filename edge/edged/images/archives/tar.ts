/** One entry of a tar archive. */
export interface TarEntry {
  readonly name: string;
  readonly bytes: number;
  /** Its content, of a small one that was asked for. */
  readonly content?: Uint8Array;
}

export interface TarScan {
  readonly entries: readonly TarEntry[];
  /** Where the last entry ends, padded to a block. */
  readonly endsAt: number;
}

const block = 512;
/** An archive of images has a few entries for each layer. */
const mostEntries = 100_000;

/**
 * Reads the entries of a tar archive (POSIX ustar). Undefined when it is none, or ends too early.
 * @param wants whether the content of an entry is kept
 */
export async function scanTar(
  archive: AsyncIterable<Uint8Array>,
  wants: (name: string, bytes: number) => boolean,
): Promise<TarScan | undefined> {
  const entries: TarEntry[] = [];
  const reader = new BlockReader(archive);
  for (;;) {
    const header = await reader.read(block);
    // Two blocks of zeros are the end.
    if (!header || entries.length > mostEntries) return undefined;
    if (header.every((byte) => byte === 0)) return { entries, endsAt: reader.at - block };
    const { name, bytes } = readHeader(header);
    if (bytes === undefined) return undefined;
    const padded = Math.ceil(bytes / block) * block;
    const isWanted = wants(name, bytes);
    const content = isWanted ? await reader.read(padded) : undefined;
    if (isWanted ? !content : !(await reader.skip(padded))) return undefined;
    entries.push(content ? { name, bytes, content: content.subarray(0, bytes) } : { name, bytes });
  }
}

/** Files as entries of a tar archive, and the end of the archive. */
export function tarEnd(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const entries = Object.entries(files).map(([name, content]) => tarEntry(name, content));
  return Buffer.concat([...entries, Buffer.alloc(2 * block)]);
}

function tarEntry(name: string, content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(block);
  header.write(name, 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write(`${"0".repeat(11)}\0`, 136);
  header.fill(" ", 148, 156);
  header.write("0", 156);
  header.write("ustar\0", 257);
  header.write("00", 263);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((block - (content.length % block)) % block);
  return Buffer.concat([header, content, padding]);
}

function readHeader(header: Uint8Array): { readonly name: string; readonly bytes: number | undefined } {
  const text = (start: number, length: number): string =>
    Buffer.from(header.buffer, header.byteOffset + start, length)
      .toString("latin1")
      .replace(/\0.*$/s, "");
  const size = text(124, 12).trim();
  const isTar = text(257, 5) === "ustar" && /^[0-7]+$/.test(size);
  return { name: text(0, 100).replace(/^\.\//, ""), bytes: isTar ? Number.parseInt(size, 8) : undefined };
}

/** Reads so many bytes at a time from chunks of any length. */
class BlockReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array();
  /** How many bytes were read or skipped. */
  at = 0;

  constructor(archive: AsyncIterable<Uint8Array>) {
    this.#chunks = archive[Symbol.asyncIterator]();
  }

  /** Undefined at an early end. */
  async read(bytes: number): Promise<Uint8Array | undefined> {
    const parts: Uint8Array[] = [];
    let missing = bytes;
    while (missing > 0) {
      const part = await this.#take(missing);
      if (!part) return undefined;
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** @returns whether so many bytes were there */
  async skip(bytes: number): Promise<boolean> {
    let missing = bytes;
    while (missing > 0) {
      const part = await this.#take(missing);
      if (!part) return false;
      missing -= part.length;
    }
    return true;
  }

  async #take(most: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return undefined;
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(part.length);
    this.at += part.length;
    return part;
  }
}
