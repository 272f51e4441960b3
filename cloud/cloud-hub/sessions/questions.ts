import type { DownstreamMessage, NodeReply } from "#cloud/cloud-hub/codec";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";

export interface QuestionOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A node that answers nothing must not fill the memory. */
const mostWaiting = 64;

/** Questions to the node of one session: only what comes over the same connection can answer them. */
export class SessionQuestions {
  readonly #waiting = new Map<string, PromiseWithResolvers<NodeReply>>();
  readonly #node: string;
  readonly #clock: Clock;
  #ended: string | undefined;

  constructor(node: string, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
  }

  /** @throws UnavailableError when too many wait, the session ends, or the time is up */
  async ask(
    question: DownstreamMessage,
    { timeoutMs, signal }: QuestionOptions,
    send: (message: DownstreamMessage) => void,
  ): Promise<NodeReply> {
    if (this.#ended !== undefined) throw this.#disconnected(this.#ended);
    const what = `Cannot ask node "${this.#node}"`;
    if (this.#waiting.size >= mostWaiting)
      throw new UnavailableError("too-many-requests", `${what}: ${mostWaiting} questions wait already`);
    const { id } = question;
    const waiter = Promise.withResolvers<NodeReply>();
    this.#waiting.set(id, waiter);
    try {
      return await withDeadline(this.#clock, { ms: timeoutMs, what, signal }, () => {
        send(question);
        return waiter.promise;
      });
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** @returns whether a question waited for it */
  settle(parentId: string, reply: NodeReply): boolean {
    const waiter = this.#waiting.get(parentId);
    waiter?.resolve(reply);
    return waiter !== undefined;
  }

  end(reason: string): void {
    this.#ended ??= reason;
    for (const waiter of this.#waiting.values()) waiter.reject(this.#disconnected(reason));
    this.#waiting.clear();
  }

  #disconnected(reason: string): UnavailableError {
    return new UnavailableError("node-gone", `Node "${this.#node}" disconnected: ${reason}`);
  }
}
