import { onNextTurn } from "#shared/clock";
import type { BrokerClient } from "./client.ts";
import { resumeDelivery } from "./in-flight.ts";

/**
 * A client that has sent so many packets and taken less than `progressBytes` from us meanwhile does not read: it makes us
 * keep the answers. A client that reads has a socket buffer (64 KiB) worth of answers on their way at most.
 */
const mostPackets = 10_000;
const progressBytes = 64 * 1024;
/** Bytes that may nevertheless wait for it: 4,000 acknowledgements. */
const mostWaitingBytes = 16 * 1024;
/** Bytes read from one client before the others get their turn: a read of a socket brings about as many. */
const turnBytes = 64 * 1024;

/** Reads from a client in turns: see `TurnReader`. */
export function readInTurns(client: BrokerClient): void {
  new TurnReader(client).start();
}

/**
 * Replaces aedes' reading: the next bytes are read when what was read is handled. aedes counts handled packets down
 * whenever bytes arrive too, and would read without end while nothing can be stored. Nothing is read from a client that
 * does not read its answers, nor from a publisher that is paused.
 *
 * `onNextTurn` lets the event loop serve the other sockets first.
 */
class TurnReader {
  readonly #client: BrokerClient;
  readonly #readNext: BrokerClient["_nextBatch"];
  readonly #isFlooding: () => boolean;
  /** Reading waits until the client takes something. */
  #isWaiting = false;
  /** The rest of what has arrived is read in the next turn. */
  #isResting = false;

  constructor(client: BrokerClient) {
    this.#client = client;
    this.#readNext = client._nextBatch;
    this.#isFlooding = watchFlooding(client);
  }

  start(): void {
    const client = this.#client;
    const { conn, outbound } = client;
    const read = (): void => this.#read();
    outbound.onTaken = () => {
      if (this.#isWaiting) onNextTurn(read);
      this.#isWaiting = false;
      resumeDelivery(client);
    };
    client.publisher = {
      outbound,
      isHeld: false,
      resume: () => onNextTurn(read),
      keepAlive: () => {
        if (client._keepaliveInterval > 0) client._keepaliveTimer?.refresh();
      },
    };
    client._parsingBatch = 0;
    client._nextBatch = (error) => this.#handled(error);
    conn.off("readable", this.#readNext);
    conn.on("readable", read);
  }

  #read(): void {
    const { conn } = this.#client;
    this.#isWaiting = false;
    this.#isResting = false;
    // Each read takes one chunk as it arrived, which may hold less than a packet, or thousands of them.
    const stop = conn.readableLength - turnBytes;
    for (let left = Infinity; conn.readableLength < left && this.#isFree();) {
      left = conn.readableLength;
      if (left <= stop) return this.#rest();
      this.#readNext();
    }
  }

  #rest(): void {
    if (!this.#isResting) onNextTurn(() => this.#read());
    this.#isResting = true;
  }

  /** A packet is handled. */
  #handled(error: Error | null | undefined): void {
    const client = this.#client;
    if (error || client.closed) return this.#readNext(error);
    client._parsingBatch = Math.max(0, client._parsingBatch - 1);
    this.#read();
  }

  #isFree(): boolean {
    const client = this.#client;
    if (client._parsingBatch > 0 || client.closed) return false;
    this.#isWaiting = this.#isFlooding();
    return !this.#isWaiting && !client.publisher.isHeld;
  }
}

/** @returns whether the client has sent much and read little of the answers since */
function watchFlooding({ outbound, _parser: parser }: BrokerClient): () => boolean {
  let [packets, takenBefore] = [0, 0];
  parser.on("packet", () => {
    packets += 1;
  });
  return () => {
    if (packets <= mostPackets) return false;
    const { taken } = outbound;
    if (outbound.waiting > mostWaitingBytes && taken - takenBefore < progressBytes) return true;
    [packets, takenBefore] = [0, taken];
    return false;
  };
}
