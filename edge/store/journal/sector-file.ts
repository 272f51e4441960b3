import { ptr } from "bun:ffi";
import { closeSync, constants, fdatasync, fstatSync, openSync, write, writeSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { syncFolder } from "#shared/files";

const writeLater = promisify(write);
const syncLater = promisify(fdatasync);

/** The unit of a disk. A file system writes blocks of 4096 bytes, eight times as much as a short record needs. */
export const sectorBytes = 512;
const pageBytes = 4096;
/** The file grows by zeros: a write beyond its end would change, and write, its metadata as well. */
const growthBytes = 64 * 1024;

/**
 * A file that is written in whole sectors past the cache of the system, each write on disk before it resolves. Where the file
 * system or the disk cannot do that it is written as others are, in blocks, and then synchronized.
 */
export class SectorFile implements Disposable {
  readonly #path: string;
  #file: number;
  #size: number;
  #isDirect: boolean;

  /** @throws what opening throws */
  constructor(path: string) {
    const direct = tryOpen(path, flags | constants.O_DIRECT | constants.O_DSYNC);
    this.#path = path;
    this.#isDirect = direct !== undefined;
    this.#file = direct ?? openSync(path, flags, 0o600);
    // Up, not down: zeros must not be written over what is there.
    this.#size = Math.ceil(fstatSync(this.#file).size / pageBytes) * pageBytes;
    try {
      // Its blocks are on disk after each write; its name has to be as well.
      syncFolder(dirname(path));
    } catch (error) {
      closeSync(this.#file);
      throw error;
    }
  }

  /** Writes the bytes, filled up to whole sectors, at a multiple of `sectorBytes`. @returns the bytes they take there */
  async write(bytes: Buffer, at: number): Promise<number> {
    const length = Math.ceil(bytes.length / sectorBytes) * sectorBytes;
    const sectors = alignedBuffer(length);
    sectors.set(bytes);
    this.#grow(at + length);
    await this.#put(sectors, at);
    return length;
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }

  async #put(sectors: Uint8Array, at: number): Promise<void> {
    try {
      const { bytesWritten } = await writeLater(this.#file, sectors, 0, sectors.length, at);
      if (bytesWritten !== sectors.length) throw new Error("the disk took a part of a write only");
    } catch (error) {
      // The sectors of this disk have 4096 bytes.
      if (!this.#isDirect || !isUnaligned(error)) throw error;
      closeSync(this.#file);
      this.#isDirect = false;
      this.#file = openSync(this.#path, flags, 0o600);
      return this.#put(sectors, at);
    }
    if (!this.#isDirect) await syncLater(this.#file);
  }

  #grow(end: number): void {
    if (end <= this.#size) return;
    const zeros = alignedBuffer(growthBytes);
    for (; this.#size < end; this.#size += growthBytes)
      writeSync(this.#file, zeros, 0, growthBytes, this.#size);
  }
}

const flags = constants.O_RDWR | constants.O_CREAT;

function tryOpen(path: string, flags: number): number | undefined {
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if (isUnaligned(error)) return undefined;
    throw error;
  }
}

/** EINVAL: the file system cannot pass its cache by, or not in units of this size. */
function isUnaligned(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EINVAL";
}

/** Zeros that begin at a page of the memory, as a disk reads them. */
function alignedBuffer(length: number): Uint8Array {
  const room = new Uint8Array(length + pageBytes);
  const skip = (pageBytes - (ptr(room) % pageBytes)) % pageBytes;
  return room.subarray(skip, skip + length);
}
