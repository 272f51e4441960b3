import type { CloudMessage, OutgoingRequest } from "#edge/edge-hub/codec";
import type { Clock } from "#shared/clock";
import { UnavailableError } from "#shared/errors";
import { withDeadline } from "#shared/lifecycle";

/** A node asks for a few objects a pod: more than this waits only when something asks without end. */
const mostWaiting = 4096;

interface Waiter {
  readonly request: OutgoingRequest;
  readonly resolve: (answer: CloudMessage) => void;
  readonly reject: (error: Error) => void;
}

export interface RequestLimits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Requests that wait for the answer with their id. */
export class PendingRequests {
  readonly #waiting = new Map<string, Waiter>();
  readonly #clock: Clock;
  readonly #send: (frame: string) => boolean;

  /** @param send returns false when there is no link */
  constructor(clock: Clock, send: (frame: string) => boolean) {
    this.#clock = clock;
    this.#send = send;
  }

  /** @throws UnavailableError when there is no link, when it is lost, or when `timeoutMs` is over */
  async ask(request: OutgoingRequest, { timeoutMs, signal }: RequestLimits): Promise<CloudMessage> {
    const { id, frame, subject, operation } = request;
    if (this.#waiting.size >= mostWaiting)
      throw new UnavailableError(
        "too-many-requests",
        `Cannot ask the cloud: ${mostWaiting} requests wait already`,
      );
    const { promise, resolve, reject } = Promise.withResolvers<CloudMessage>();
    this.#waiting.set(id, { request, resolve, reject });
    try {
      if (!this.#send(frame))
        throw new UnavailableError("no-link", `Cannot ask the cloud for "${subject}": no link`);
      const what = `Cloud request ${operation} "${subject}"`;
      return await withDeadline(this.#clock, { ms: timeoutMs, what, signal }, () => promise);
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Hands an answer to the request that waits for it. @returns that request */
  settle(answer: CloudMessage): OutgoingRequest | undefined {
    const waiter = this.#waiting.get(answer.parentId ?? "");
    waiter?.resolve(answer);
    return waiter?.request;
  }

  /** Rejects everything that waits. */
  linkLost(reason: string): void {
    const error = new UnavailableError("link-lost", `The link to the cloud was lost: ${reason}`);
    for (const waiter of this.#waiting.values()) waiter.reject(error);
    this.#waiting.clear();
  }
}
