import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";
import type { WireMessage } from "#shared/wire";

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A node that answers nothing must not fill the memory. */
const mostWaiting = 64;

/** Questions to the node of one session: only what comes over the same connection can answer them. */
export class SessionRequests {
  readonly #waiting = new Map<string, PromiseWithResolvers<WireMessage>>();
  readonly #node: string;
  readonly #clock: Clock;
  #ended: string | undefined;

  constructor(node: string, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
  }

  /** @throws UnavailableError when too many wait, the session ends, or the time is up */
  async ask(
    request: WireMessage,
    { timeoutMs, signal }: RequestOptions,
    send: (message: WireMessage) => void,
  ): Promise<WireMessage> {
    if (this.#ended !== undefined) throw this.#away(this.#ended);
    const what = `Cannot ask node "${this.#node}"`;
    if (this.#waiting.size >= mostWaiting)
      throw new UnavailableError("too-many-requests", `${what}: ${mostWaiting} questions wait already`);
    const id = request.header.msg_id;
    const waiter = Promise.withResolvers<WireMessage>();
    this.#waiting.set(id, waiter);
    try {
      return await withDeadline(this.#clock, { ms: timeoutMs, what, signal }, () => {
        send(request);
        return waiter.promise;
      });
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** @returns whether a question waited for it */
  settle(answer: WireMessage): boolean {
    const waiter = this.#waiting.get(answer.header.parent_msg_id ?? "");
    waiter?.resolve(answer);
    return waiter !== undefined;
  }

  end(reason: string): void {
    this.#ended ??= reason;
    for (const waiter of this.#waiting.values()) waiter.reject(this.#away(reason));
    this.#waiting.clear();
  }

  #away(reason: string): UnavailableError {
    return new UnavailableError("node-gone", `Node "${this.#node}" went away: ${reason}`);
  }
}
