import type { CloudMessage } from "#edge/edge-hub/codec";
import { OutboxSender, type SenderOptions } from "./sender.ts";

/**
 * The outbox in two shares with a window each: a cloud that holds uploads back, or a great many of them, do not hold
 * back what pods, the node and devices report.
 */
export class OutboxShares implements Disposable {
  /** The others first: where the link takes little they do not wait behind uploads. */
  readonly #senders: readonly OutboxSender[];

  constructor(options: Omit<SenderOptions, "share">) {
    this.#senders = (["others", "uploads"] as const).map((share) => new OutboxSender({ ...options, share }));
  }

  linkUp(answersAll: boolean): void {
    for (const sender of this.#senders) sender.linkUp(answersAll);
  }

  linkDown(): void {
    for (const sender of this.#senders) sender.linkDown();
  }

  /** There is something new in the outbox. */
  wake(): void {
    for (const sender of this.#senders) sender.wake();
  }

  /** @returns whether the reply was for an entry */
  settle(reply: CloudMessage): boolean {
    return this.#senders.some((sender) => sender.settle(reply));
  }

  /** The cloud answered something, an entry or a request. */
  answered(): void {
    for (const sender of this.#senders) sender.answered();
  }

  ponged(mark: string): void {
    for (const sender of this.#senders) sender.ponged(mark);
  }

  [Symbol.dispose](): void {
    this.linkDown();
  }
}
