const mostKept = 500;

/** What was found out about owners that are not where a reference names them; a uid never comes back. */
export class AbsentOwners {
  /** by place and uid: whether that uid is somewhere else */
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
