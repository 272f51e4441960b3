import { Counts } from "#cloud/router/delivery";

/** Requests at once: each may hold twice 256 KiB of a stream's window, half a GB in all. */
const mostInAll = 1024;
/** Of one user, so that one dashboard with many tabs leaves room for others. */
const mostOfOne = 256;

/** Counts the requests that are under way. */
export class RequestLimits {
  readonly #ofUsers = new Counts();

  /** @returns undefined when there are too many; else it has to be disposed once, at the end of the request */
  enter(user: string): Disposable | undefined {
    if (this.#ofUsers.of(user) >= mostOfOne || this.#ofUsers.together >= mostInAll) return undefined;
    return this.#ofUsers.enter(user);
  }
}
