/** As large as the pieces that a peer of ours sends. */
const pieceBytes = 32 * 1024;

/** Bytes that wait for their reader. Small pieces are joined: a peer may send them byte by byte. */
export class ReceivedBytes {
  readonly #pieces: Uint8Array[] = [];

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Keeps a copy. */
  add(bytes: Uint8Array): void {
    const last = this.#pieces.at(-1);
    const size = (last?.length ?? 0) + bytes.length;
    if (!last || size > pieceBytes) {
      // Not `slice`: that of a Buffer is a view of the frame.
      this.#pieces.push(new Uint8Array(bytes));
      return;
    }
    const hasRoom = last.buffer.byteLength >= size;
    const buffer = hasRoom ? last.buffer : new ArrayBuffer(Math.min(pieceBytes, 2 * size));
    const joined = new Uint8Array(buffer, 0, size);
    if (!hasRoom) joined.set(last);
    joined.set(bytes, last.length);
    this.#pieces[this.#pieces.length - 1] = joined;
  }

  take(): Uint8Array | undefined {
    return this.#pieces.shift();
  }

  clear(): void {
    this.#pieces.length = 0;
  }
}
