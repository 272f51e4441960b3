import { Counts } from "#cloud/router/delivery";

/** Requests at once: each may hold twice 256 KiB of a stream's window, half a GB in all. */
const mostInAll = 1024;
/** Of one user, so that one dashboard with many tabs leaves room for others. */
const mostOfOne = 256;
/**
 * Of one node, whose service bus has so many requests to servers under way. A user may have as many as are free for the
 * others: WebSockets and event streams stay for as long as their client likes.
 */
const mostOfNode = 128;

/** Counts the requests that are under way. */
export class RequestLimits {
  readonly #ofUsers = new Counts();
  readonly #ofNodes = new Counts();
  /** by node and user */
  readonly #onNodes = new Counts();

  /** @returns undefined when there are too many; else it has to be disposed once, at the end of the request */
  enter(user: string): Disposable | undefined {
    if (this.#ofUsers.of(user) >= mostOfOne || this.#ofUsers.together >= mostInAll) return undefined;
    return this.#ofUsers.enter(user);
  }

  /** A request to a server on a node, as `enter`. */
  enterNode(user: string, node: string): Disposable | undefined {
    const own = `${node} ${user}`;
    if (this.#onNodes.of(own) >= mostOfNode - this.#ofNodes.of(node)) return undefined;
    const stack = new DisposableStack();
    stack.use(this.#onNodes.enter(own));
    stack.use(this.#ofNodes.enter(node));
    return stack;
  }
}
