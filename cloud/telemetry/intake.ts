import type { Clock } from "#shared/clock";
import { describeError } from "#shared/errors";
import { backoff } from "#shared/lifecycle";
import type { Logger } from "#shared/log";
import type { DeviceUpload } from "#shared/topics";
import type { UploadStore } from "./upload-store.ts";

export interface IntakeOptions {
  readonly store: Pick<UploadStore, "add" | "hasRoom">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends the connection of a node, so that it sends from its first unanswered message on. */
  readonly startOver: (node: string) => Promise<void>;
}

/** Pauses between attempts to store: room may return in seconds, and a full disk often stays full for days. */
const firstTrialMs = 5000;
const longestTrialMs = 300_000;
/** How much has to fit on the disk before nodes are asked again: a few uploads, and twice the largest that did not fit. */
const leastTrialBytes = 64 * 1024;
const mostTrialBytes = 4 * 1024 * 1024;

/**
 * Stores uploads of nodes. When one cannot be stored, no more of its node are taken, or later ones would overtake it: the
 * node keeps all of them. Once there is room again the node has to reconnect and send them again.
 */
export class Intake implements Disposable {
  readonly #options: IntakeOptions;
  /** nodes of which something could not be stored */
  readonly #held = new Set<string>();
  #waits: Generator<number, never> | undefined;
  #trialBytes = leastTrialBytes;
  #timer: Disposable | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** @returns whether it is on disk */
  async receive({ node, id, topic, sentMs, content }: DeviceUpload): Promise<boolean> {
    if (this.#held.has(node)) return false;
    try {
      await this.#options.store.add({
        node,
        messageId: id,
        topic,
        sentAt: sentMs,
        receivedAt: this.#options.clock.nowMs(),
        content,
      });
      return true;
    } catch (error) {
      this.#hold(node, content.length, error);
      return false;
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #hold(node: string, bytes: number, error: unknown): void {
    const { clock, log } = this.#options;
    this.#held.add(node);
    this.#trialBytes = Math.min(mostTrialBytes, Math.max(this.#trialBytes, 2 * bytes));
    if (this.#waits) return;
    log.error("cannot store uploads: the nodes keep them until there is room", { node, error });
    this.#waits = backoff({ firstMs: firstTrialMs, capMs: longestTrialMs, random: () => clock.random() });
    this.#tryLater(this.#waits);
  }

  #tryLater(waits: Generator<number, never>): void {
    this.#timer = this.#options.clock.after(waits.next().value, () => {
      if (this.#options.store.hasRoom(this.#trialBytes)) void this.#resume();
      else this.#tryLater(waits);
    });
  }

  async #resume(): Promise<void> {
    const { log, startOver } = this.#options;
    const nodes = [...this.#held];
    log.info("uploads can be stored again: the nodes send what they kept", { nodes: nodes.length });
    this.#waits = undefined;
    this.#trialBytes = leastTrialBytes;
    for (const node of nodes) {
      try {
        await startOver(node);
      } catch (error) {
        log.warn("cannot make a node send its uploads again", { node, error: describeError(error) });
      }
      // Not before: what its old connection still sends comes after something that was not stored.
      this.#held.delete(node);
    }
  }
}
