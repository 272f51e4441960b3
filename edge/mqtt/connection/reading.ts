import { onNextTurn } from "#shared/clock";
import type { Duplex } from "node:stream";
import type { Outbound, Publisher } from "#edge/mqtt/flow";
import { PacketError, PacketStream, type Inbound } from "#edge/mqtt/packet";

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

/** A client as its reader sees it. */
export interface ReadClient {
  readonly conn: Duplex;
  readonly outbound: Pick<Outbound, "taken" | "waiting">;
  readonly publisher: Pick<Publisher, "isHeld">;
  readonly state: string;
  readonly isClosed: boolean;
  heard(): void;
  take(packet: Inbound): void;
  refuse(error: PacketError): void;
  progressed(): void;
}

/**
 * Reads from a client in turns: the next bytes are read when what was read is handled. Nothing is read from a client that
 * does not read its answers, nor from a publisher that is paused. `onNextTurn` lets the event loop serve the other sockets
 * first.
 */
export class ClientReader {
  readonly #client: ReadClient;
  readonly #packets: PacketStream;
  /** packets that are being handled */
  #handling = 0;
  /** Reading waits until the client takes something. */
  #isWaiting = false;
  /** The rest of what has arrived is read in the next turn. */
  #isResting = false;
  #isDiscarding = false;
  /** packets since the client last made progress in reading, and the bytes it had taken then */
  #count = 0;
  #takenBefore = 0;

  constructor(client: ReadClient, maxPacketBytes: number) {
    this.#client = client;
    this.#packets = new PacketStream(maxPacketBytes);
  }

  /** A packet of the client takes time: nothing more is read until `release`. */
  hold(): void {
    this.#handling += 1;
  }

  release(): void {
    this.#handling -= 1;
    this.read();
  }

  /** Goes on after a pause. */
  resume(): void {
    onNextTurn(() => this.read());
  }

  /** The client has read something. */
  taken(): void {
    if (this.#isWaiting) this.resume();
    this.#isWaiting = false;
    this.#client.progressed();
  }

  /** Drops what comes from now on. */
  discard(): void {
    this.#isDiscarding = true;
    this.read();
  }

  read(): void {
    const { conn } = this.#client;
    if (this.#isDiscarding) {
      while (!conn.destroyed && conn.read() !== null);
      return;
    }
    this.#isWaiting = false;
    this.#isResting = false;
    // Each read takes one chunk as it arrived, which may hold less than a packet, or thousands of them.
    const stop = conn.readableLength - turnBytes;
    for (let left = Infinity; conn.readableLength < left && this.#isFree();) {
      left = conn.readableLength;
      if (left <= stop) return this.#rest();
      const chunk: Buffer | null = conn.read() as Buffer | null;
      if (chunk) this.#take(chunk);
    }
  }

  #take(chunk: Buffer): void {
    const client = this.#client;
    client.heard();
    try {
      this.#packets.push(chunk, (packet) => {
        this.#count += 1;
        client.take(packet);
        return !client.isClosed;
      });
    } catch (error) {
      if (!(error instanceof PacketError)) throw error;
      client.refuse(error);
    }
  }

  #rest(): void {
    if (!this.#isResting) this.resume();
    this.#isResting = true;
  }

  #isFree(): boolean {
    const client = this.#client;
    if (this.#handling > 0 || client.isClosed || client.state === "connecting") return false;
    this.#isWaiting = this.#isFlooding();
    return !this.#isWaiting && !client.publisher.isHeld;
  }

  /** @returns whether the client has sent much and read little of the answers since */
  #isFlooding(): boolean {
    if (this.#count <= mostPackets) return false;
    const { taken, waiting } = this.#client.outbound;
    if (waiting > mostWaitingBytes && taken - this.#takenBefore < progressBytes) return true;
    [this.#count, this.#takenBefore] = [0, taken];
    return false;
  }
}
