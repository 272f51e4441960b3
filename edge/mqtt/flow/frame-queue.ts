/** Bytes on their way to a client: a packet, or a part of one. */
export interface Frame {
  readonly bytes: Buffer;
  /** A live message of QoS 0: it may be dropped when the client is too slow. */
  readonly mayDrop: boolean;
}

export interface Dropped {
  readonly messages: number;
  readonly weight: number;
}

/** About what a frame takes beside its bytes. */
const overhead = 128;
/** Small frames share a block: a client may be owed tens of thousands of answers of four bytes. */
const smallBytes = 256;
const blockBytes = 1024;
/** Empty places in the list that are worth a new list. */
const manyEmpty = 1024;

function weightOf(frame: Frame): number {
  return overhead + (frame instanceof Block ? blockBytes : frame.bytes.length);
}

class Block implements Frame {
  readonly mayDrop = false;
  readonly #bytes = Buffer.allocUnsafeSlow(blockBytes);
  #length = 0;

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  hasRoom(length: number): boolean {
    return this.#length + length <= blockBytes;
  }

  add(bytes: Buffer): void {
    bytes.copy(this.#bytes, this.#length);
    this.#length += bytes.length;
  }
}

function isSmall(frame: Frame): boolean {
  return !frame.mayDrop && frame.bytes.length <= smallBytes;
}

/** Frames in order, of which the oldest that may be dropped are found without a search. */
export class FrameQueue {
  #frames: (Frame | undefined)[] = [];
  /** The first that was not taken. */
  #head = 0;
  /** Nothing in front of it may be dropped. */
  #looseFrom = 0;
  /** places that were dropped */
  #empty = 0;
  #weight = 0;
  #looseWeight = 0;
  /** what is left of a frame of which a part was taken */
  #rest: Buffer | undefined;

  /** About the bytes of memory it holds. */
  get weight(): number {
    return this.#weight + (this.#rest?.length ?? 0);
  }

  /** of what may be dropped */
  get looseWeight(): number {
    return this.#looseWeight;
  }

  /** @returns what it weighs */
  push(frame: Frame): number {
    const before = this.#weight;
    if (isSmall(frame) && this.#join(frame)) return this.#weight - before;
    const weight = weightOf(frame);
    this.#weight += weight;
    this.#frames.push(frame);
    if (frame.mayDrop) this.#looseWeight += weight;
    return weight;
  }

  /** The next bytes, about so many; a frame that is larger is taken in parts. @returns undefined when there is nothing */
  take(about: number): Buffer | undefined {
    const parts: Buffer[] = [];
    let length = 0;
    while (length < about) {
      const part = this.#takePart(about);
      if (!part) break;
      parts.push(part);
      length += part.length;
    }
    return parts.length > 1 ? Buffer.concat(parts, length) : parts[0];
  }

  /** Drops the oldest that may be dropped, so much of it at least. */
  dropOldest(atLeast: number): Dropped {
    let [messages, weight] = [0, 0];
    let at = Math.max(this.#looseFrom, this.#head);
    for (; at < this.#frames.length && weight < atLeast; at += 1) {
      const frame = this.#frames[at];
      if (frame?.mayDrop !== true) continue;
      this.#frames[at] = undefined;
      messages += 1;
      weight += weightOf(frame);
    }
    this.#looseFrom = at;
    this.#empty += messages;
    this.#weight -= weight;
    this.#looseWeight -= weight;
    this.#compact();
    return { messages, weight };
  }

  clear(): void {
    [this.#frames, this.#head, this.#looseFrom, this.#empty] = [[], 0, 0, 0];
    [this.#weight, this.#looseWeight, this.#rest] = [0, 0, undefined];
  }

  /** @returns whether it is now a part of the last frame */
  #join({ bytes }: Frame): boolean {
    const at = this.#frames.length - 1;
    const last = at >= this.#head ? this.#frames[at] : undefined;
    if (last instanceof Block && last.hasRoom(bytes.length)) {
      last.add(bytes);
      return true;
    }
    if (!last || last instanceof Block || !isSmall(last)) return false;
    const block = new Block();
    block.add(last.bytes);
    block.add(bytes);
    this.#frames[at] = block;
    this.#weight += weightOf(block) - weightOf(last);
    return true;
  }

  #takePart(most: number): Buffer | undefined {
    const bytes = this.#rest ?? this.#shift()?.bytes;
    if (!bytes) return undefined;
    this.#rest = bytes.length > most ? bytes.subarray(most) : undefined;
    return this.#rest ? bytes.subarray(0, most) : bytes;
  }

  #shift(): Frame | undefined {
    while (this.#head < this.#frames.length) {
      const frame = this.#frames[this.#head];
      this.#frames[this.#head] = undefined;
      this.#head += 1;
      if (!frame) {
        this.#empty -= 1;
        continue;
      }
      this.#weight -= weightOf(frame);
      if (frame.mayDrop) this.#looseWeight -= weightOf(frame);
      this.#compact();
      return frame;
    }
    return undefined;
  }

  #compact(): void {
    const unused = this.#head + this.#empty;
    if (unused === this.#frames.length)
      [this.#frames.length, this.#head, this.#looseFrom, this.#empty] = [0, 0, 0, 0];
    if (unused < manyEmpty || unused * 2 < this.#frames.length) return;
    this.#frames = this.#frames.slice(this.#head).filter((frame) => frame !== undefined);
    [this.#head, this.#looseFrom, this.#empty] = [0, 0, 0];
  }
}
