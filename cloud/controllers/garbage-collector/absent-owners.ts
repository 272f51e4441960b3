/** Absent owners kept: those of a few collections at once; one that is dropped is looked up in the API again. */
const mostKept = 500;

/** Owners that are not where a reference names them; a uid is never used again, so this never changes. */
export class AbsentOwners {
  /** By kind, place and uid: whether an object of that uid is in another namespace. */
  readonly #known = new Map<string, boolean>();

  has(owner: string): boolean {
    return this.#known.has(owner);
  }

  isElsewhere(owner: string): boolean {
    return this.#known.get(owner) === true;
  }

  add(owner: string, elsewhere: boolean): void {
    this.#known.delete(owner);
    this.#known.set(owner, elsewhere);
    if (this.#known.size <= mostKept) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}
