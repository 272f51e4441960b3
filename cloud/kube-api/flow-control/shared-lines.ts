import { onNextMicrotask } from "#shared/clock";

/** The bytes of a batch of changes, made once for all watchers that see them alike. */
export class SharedLines {
  readonly #made = new Map<string, Uint8Array>();
  #batch: object | undefined;

  /** @param key what the bytes depend on beside the batch */
  of(batch: object, key: string, make: () => Uint8Array): Uint8Array {
    if (this.#batch !== batch) {
      if (this.#batch === undefined) onNextMicrotask(() => this.#forget());
      this.#batch = batch;
      this.#made.clear();
    }
    let bytes = this.#made.get(key);
    if (!bytes) this.#made.set(key, (bytes = make()));
    return bytes;
  }

  /** Watchers are notified of a batch in one turn of the event loop; later its bytes are not needed. */
  #forget(): void {
    this.#batch = undefined;
    this.#made.clear();
  }
}
