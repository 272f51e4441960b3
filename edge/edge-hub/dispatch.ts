import {
  encodeAnswer,
  encodeFailure,
  type CloudMessage,
  type MessageReceiver,
  type OutgoingRequest,
  type Stamp,
} from "#edge/edge-hub/codec";
import { describeError } from "#shared/errors";
import type { Logger } from "#shared/log";
import type { Delivery } from "#shared/topics";

/** Who on the node takes messages of the cloud. */
export type ModuleReceiver = Exclude<MessageReceiver, "link">;

export interface DispatchOptions {
  readonly stamp: Stamp;
  readonly log: Logger;
  /** While the cloud is held back, only answers to requests of this node are taken. */
  readonly isHeld: () => boolean;
  readonly send: (frame: string) => void;
  /** Hands an answer to the request or outbox entry with its parent id. @returns the request, or `true` for an entry */
  readonly settle: (answer: CloudMessage) => OutgoingRequest | true | undefined;
  /** Whether the cloud waits until commands of rules are confirmed; that of KubeEdge does not. */
  readonly confirms: () => boolean;
  readonly deliver: (receiver: ModuleReceiver, message: CloudMessage) => Promise<Delivery>;
}

/**
 * Deliveries that may be unfinished at a time. Our cloud keeps 16 objects of a node unacknowledged, so that only a peer
 * without such a window gets here; what is left then is not acknowledged and comes again.
 */
const mostUnderWay = 4096;

/** Gives each message of the cloud to its module: in order for one subject, concurrently for different ones. */
export class Dispatch {
  readonly #options: DispatchOptions;
  readonly #tails = new Map<string, Promise<void>>();
  #underWay = 0;

  constructor(options: DispatchOptions) {
    this.#options = options;
  }

  take(message: CloudMessage): void {
    if (this.#isSettled(message)) return;
    const { log, isHeld } = this.#options;
    const { receiver, subject } = message;
    if (isHeld()) {
      log.debug("rejected a message of a cloud with another database", { resource: subject });
      return;
    }
    if (receiver === undefined || receiver === "link") {
      log.warn("dropped a message of a group that no module serves", { resource: subject });
      return;
    }
    if (this.#underWay >= mostUnderWay) {
      log.warn("too many deliveries in flight, leaving a message for the cloud to repeat", {
        resource: subject,
      });
      return;
    }
    this.#chain(orderOf(receiver, message), () => this.#deliver(receiver, message));
  }

  /** Resolves when no delivery is under way. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values());
  }

  #isSettled(message: CloudMessage): boolean {
    if (message.parentId === undefined) return false;
    const { settle, send, stamp } = this.#options;
    const settled = settle(message);
    const isForTwin = message.receiver === "twin";
    if (settled === undefined || settled === true) {
      if (!settled && !isForTwin) this.#acknowledgeLate(message);
      return !isForTwin;
    }
    // KubeEdge's cloud repeats an object it sent in answer to a query until it is acknowledged.
    if (settled.isQuery && message.isObjectAnswer) send(encodeAnswer(stamp, message));
    return true;
  }

  /** KubeEdge's cloud holds back everything else for a node while an object it sent in answer is not acknowledged. */
  #acknowledgeLate(message: CloudMessage): void {
    const { send, stamp, log } = this.#options;
    log.debug("received an answer to a request that no longer waits", { resource: message.subject });
    if (message.hasVersion && message.isObjectAnswer) send(encodeAnswer(stamp, message));
  }

  #chain(key: string, run: () => Promise<void>): void {
    this.#underWay += 1;
    const before = this.#tails.get(key);
    const tail = (before ? before.then(run) : run()).finally(() => {
      this.#underWay -= 1;
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    this.#tails.set(key, tail);
  }

  async #deliver(receiver: ModuleReceiver, message: CloudMessage): Promise<void> {
    const { deliver, send, stamp, log, confirms } = this.#options;
    try {
      const { ack, answer } = await deliver(receiver, message);
      if (ack) send(encodeAnswer(stamp, message, answer));
    } catch (error) {
      const reason = describeError(error);
      log.warn("cannot handle a message of the cloud", {
        receiver,
        resource: message.subject,
        error: reason,
      });
      if (receiver === "object" || receiver === "twin" || confirms())
        send(encodeFailure(stamp, message, reason));
    }
  }
}

/** Messages with the same key are delivered in order. */
function orderOf(receiver: ModuleReceiver, { subject, id }: CloudMessage): string {
  // Membership and twins of one device depend on each other; calls of one server do not.
  if (receiver === "twin") return "twin";
  return receiver === "service" ? `service:${id}` : `${receiver}:${subject}`;
}
