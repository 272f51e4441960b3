/** Bytes in hand, a buffer that is held several times counted once. */
export class Tally {
  readonly #buffers = new Map<Uint8Array, number>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  hold(buffer: Uint8Array): void {
    const holders = this.#buffers.get(buffer) ?? 0;
    this.#buffers.set(buffer, holders + 1);
    if (holders === 0) this.#bytes += buffer.length;
  }

  release(buffer: Uint8Array): void {
    const holders = this.#buffers.get(buffer) ?? 0;
    if (holders > 1) this.#buffers.set(buffer, holders - 1);
    else if (this.#buffers.delete(buffer)) this.#bytes -= buffer.length;
  }

  /** Counts what is no buffer yet. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }
}
