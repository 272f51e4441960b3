/** Requests at once: each may hold twice 256 KiB of a stream's window, half a GB in all. */
const mostInAll = 1024;
/** Of one user, so that one dashboard with many tabs leaves room for others. */
const mostOfOne = 256;

/** Counts the requests that are under way. */
export class RequestLimits {
  readonly #ofUser = new Map<string, number>();
  #inAll = 0;

  /** @returns undefined when there are too many; else it has to be disposed once, at the end of the request */
  enter(user: string): Disposable | undefined {
    const count = this.#ofUser.get(user) ?? 0;
    if (count >= mostOfOne || this.#inAll >= mostInAll) return undefined;
    this.#ofUser.set(user, count + 1);
    this.#inAll += 1;
    return { [Symbol.dispose]: () => this.#leave(user) };
  }

  #leave(user: string): void {
    const count = (this.#ofUser.get(user) ?? 1) - 1;
    if (count > 0) this.#ofUser.set(user, count);
    else this.#ofUser.delete(user);
    this.#inAll -= 1;
  }
}
