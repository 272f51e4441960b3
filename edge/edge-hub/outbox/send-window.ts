/** A message that was sent and is not answered yet. */
export interface SentMessage {
  /** of its row in the outbox */
  readonly id: number;
  readonly msgId: string;
  readonly lane: string;
  readonly bytes: number;
  tries: number;
  sentMs: number;
  /** when it is sent again */
  dueMs: number;
  /** How often it is sent to a cloud that answers others and not this one. */
  patience: number;
  /** The silence on some messages, or their refusal, must not stop the others: these no longer count for the window. */
  isParked: boolean;
}

/** What is under way cannot be folded or dropped for want of room on the disk; a larger message goes alone. */
const windowBytes = 2_000_000;
const mostParkedBytes = 2_000_000;
/** Parked messages past this count for the window again: with the 64 of a KubeEdge cloud no more than 512 are remembered. */
const mostParked = 448;

/** Messages that are sent and not answered, counted against a window of messages and bytes. */
export class SendWindow {
  readonly #sent = new Map<string, SentMessage>();
  #bytes = 0;
  #parked = 0;
  #parkedBytes = 0;

  get hasParked(): boolean {
    return this.#parked > 0;
  }

  all(): Iterable<SentMessage> {
    return this.#sent.values();
  }

  find(msgId: string): SentMessage | undefined {
    return this.#sent.get(msgId);
  }

  add(message: SentMessage): void {
    this.#sent.set(message.msgId, message);
    this.#bytes += message.bytes;
  }

  /** @returns false when it was removed before */
  remove({ msgId, bytes, isParked }: SentMessage): boolean {
    if (!this.#sent.delete(msgId)) return false;
    this.#bytes -= bytes;
    if (isParked) {
      this.#parked -= 1;
      this.#parkedBytes -= bytes;
    }
    return true;
  }

  park(message: SentMessage): void {
    if (message.isParked) return;
    message.isParked = true;
    this.#parked += 1;
    this.#parkedBytes += message.bytes;
  }

  /** How many more messages may be sent when `most` may be under way. */
  roomFor(most: number): number {
    return most - (this.#sent.size - Math.min(this.#parked, mostParked));
  }

  fits(bytes: number): boolean {
    const counted = this.#bytes - Math.min(this.#parkedBytes, mostParkedBytes);
    return counted === 0 || counted + bytes <= windowBytes;
  }

  clear(): void {
    this.#sent.clear();
    this.#bytes = 0;
    this.#parked = 0;
    this.#parkedBytes = 0;
  }
}
