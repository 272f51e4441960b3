/** Bytes to be sent to a client: a packet, or a part of one. */
export interface Frame {
  readonly bytes: Buffer;
  /** A message of QoS 0 that is not retained: it may be dropped if the client reads too slowly. */
  readonly mayDrop: boolean;
}

export interface DroppedFrames {
  readonly messages: number;
  readonly weight: number;
}

/** Measured bytes of memory of a frame besides its content. */
const overhead = 128;
/** Small frames share a block, since a client may have tens of thousands of acknowledgements of four bytes waiting. */
const smallBytes = 256;
const blockBytes = 1024;
/** Unused entries of the list from which on it is copied without them. */
const mostUnused = 1024;

function weightOf(frame: Frame): number {
  return overhead + (frame instanceof Block ? blockBytes : frame.bytes.length);
}

/** Small frames in one buffer. */
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

/** Frames in order; the oldest droppable ones are found without a search. */
export class FrameQueue {
  #frames: (Frame | undefined)[] = [];
  /** Index of the first frame that was not taken. */
  #head = 0;
  /** Index before which no frame is droppable. */
  #droppableStart = 0;
  /** number of dropped entries behind the head */
  #empty = 0;
  #weight = 0;
  #droppableWeight = 0;
  /** rest of a frame that was taken in part */
  #rest: Buffer | undefined;

  /** About the bytes of memory that all frames take. */
  get weight(): number {
    return this.#weight + (this.#rest?.length ?? 0);
  }

  /** of the droppable frames */
  get droppableWeight(): number {
    return this.#droppableWeight;
  }

  /** @returns the weight that it adds */
  push(frame: Frame): number {
    const before = this.#weight;
    if (isSmall(frame) && this.#join(frame)) return this.#weight - before;
    const weight = weightOf(frame);
    this.#weight += weight;
    this.#frames.push(frame);
    if (frame.mayDrop) this.#droppableWeight += weight;
    return weight;
  }

  /** Takes about `targetBytes` bytes; a larger frame is taken in parts. @returns undefined when the queue is empty */
  take(targetBytes: number): Buffer | undefined {
    const parts: Buffer[] = [];
    let length = 0;
    while (length < targetBytes) {
      const part = this.#takePart(targetBytes);
      if (!part) break;
      parts.push(part);
      length += part.length;
    }
    return parts.length > 1 ? Buffer.concat(parts, length) : parts[0];
  }

  /** Drops the oldest droppable frames, of `minWeight` together if there are so many. */
  dropOldest(minWeight: number): DroppedFrames {
    let [messages, weight] = [0, 0];
    let index = Math.max(this.#droppableStart, this.#head);
    for (; index < this.#frames.length && weight < minWeight; index += 1) {
      const frame = this.#frames[index];
      if (frame?.mayDrop !== true) continue;
      this.#frames[index] = undefined;
      messages += 1;
      weight += weightOf(frame);
    }
    this.#droppableStart = index;
    this.#empty += messages;
    this.#weight -= weight;
    this.#droppableWeight -= weight;
    this.#compact();
    return { messages, weight };
  }

  clear(): void {
    [this.#frames, this.#head, this.#droppableStart, this.#empty] = [[], 0, 0, 0];
    [this.#weight, this.#droppableWeight, this.#rest] = [0, 0, undefined];
  }

  /** Joins a small frame to the last one, if that is small too. @returns whether it did */
  #join({ bytes }: Frame): boolean {
    const index = this.#frames.length - 1;
    const last = index >= this.#head ? this.#frames[index] : undefined;
    if (last instanceof Block && last.hasRoom(bytes.length)) {
      last.add(bytes);
      return true;
    }
    if (!last || last instanceof Block || !isSmall(last)) return false;
    const block = new Block();
    block.add(last.bytes);
    block.add(bytes);
    this.#frames[index] = block;
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
      if (frame.mayDrop) this.#droppableWeight -= weightOf(frame);
      this.#compact();
      return frame;
    }
    return undefined;
  }

  #compact(): void {
    const unused = this.#head + this.#empty;
    if (unused === this.#frames.length)
      [this.#frames.length, this.#head, this.#droppableStart, this.#empty] = [0, 0, 0, 0];
    if (unused < mostUnused || unused * 2 < this.#frames.length) return;
    this.#frames = this.#frames.slice(this.#head).filter((frame) => frame !== undefined);
    [this.#head, this.#droppableStart, this.#empty] = [0, 0, 0];
  }
}
