import type { Duplex } from "node:stream";
import type { Clock } from "#shared/clock";
import type { ClientIdentity } from "#edge/mqtt/access";
import type { Outbound, OutboundBacklog, Publisher } from "#edge/mqtt/flow";
import {
  encodeConnack,
  encodeDisconnect,
  reasons,
  type BrokerPacket,
  type Inbound,
  type PacketError,
  type Version,
  type Will,
} from "#edge/mqtt/packet";
import type { Inbox } from "#edge/mqtt/stored";
import type { InboundAliases, OutboundAliases } from "./aliases.ts";
import { ClientReader } from "./reading.ts";

/** What a client answers a message with (MQTT 3.1.1 section 4.3). */
export type Ack = "puback" | "pubrec" | "pubcomp";

/** A connection as a receiver of messages. */
export interface Subscriber {
  readonly outbound: Outbound;
  /** the name of its session */
  readonly session: string;
  readonly version: Version;
  /** Whether frames encoded for all clients of its version fit: it takes packets of any size and no topic aliases. */
  readonly isPlain: boolean;
  /** Whether it can be written to. What it misses otherwise is in the queue of its session, or was of QoS 0. */
  isOpen(): boolean;
  /** Whether it takes another message of QoS 1 or 2 at once. */
  isFree(): boolean;
  /** Whether the topic rules let it read this topic. */
  mayReceive(topic: string): boolean;
  /** Removes a message of QoS 1 or 2 that it may not receive from the queue of its session. */
  refuse(packet: BrokerPacket): void;
  /** Sends a message of QoS 0. */
  send(packet: BrokerPacket): void;
  /** Takes over a message of QoS 1 or 2; its payload is not copied. */
  deliver(packet: BrokerPacket, qos: 1 | 2): void;
  /** Sends a message of an earlier connection again. */
  repeat(packet: BrokerPacket, messageId: number): void;
  /** Of a clean session: sends what waits, as far as the client takes it. */
  sendWaiting(): void;
}

/** How the broker handles a connection. */
export interface ClientHandlers {
  /** Handles a packet. */
  readonly take: (client: BrokerClient, packet: Inbound) => void;
  /** The client is being disconnected because of an error of its own. */
  readonly failed: (client: BrokerClient, problem: string) => void;
  /** The connection is closed, for whatever reason; called once. */
  readonly closed: (client: BrokerClient, problem: string | undefined) => void;
  /** Sends what the client can take now, after it took something. */
  readonly resume: (client: BrokerClient) => void;
}

export interface ClientParts {
  readonly clock: Clock;
  readonly backlog: OutboundBacklog;
  readonly maxPacketBytes: number;
  readonly handlers: ClientHandlers;
}

/** `new`: no CONNECT yet; `connecting`: no CONNACK yet; `accepted`: packets are handled. */
export type ClientState = "new" | "connecting" | "accepted" | "closed";

/** For the CONNECT to arrive. */
const connectWithinMs = 30_000;
/** A client that is silent for so many times its keepalive is disconnected (MQTT-3.1.2-22). */
const keepaliveFactor = 1.5;
const noLimit = 0xffff_ffff;
/** For a client to read why it is disconnected. */
const lingerMs = 5000;

/** A connection of a client, and what the broker keeps for it. Fields of what few clients use are not there otherwise. */
export class BrokerClient {
  readonly conn: Duplex;
  readonly outbound: Outbound;
  readonly publisher: Publisher;
  readonly reader: ClientReader;
  readonly #parts: ClientParts;
  #timer: Disposable | undefined;
  /** of `clock.monotonicMs`: when something was read last */
  #heardMs = 0;
  state: ClientState = "new";
  /** The name of its session (see `sessionName`) as soon as it is authenticated. */
  id = "";
  identity: ClientIdentity | undefined;
  version: Version = 4;
  /** Its session ends with the connection and is kept with it; otherwise it is in `Sessions`. */
  clean = true;
  /** Seconds for which its session is kept; undefined: without end. */
  sessionExpiry: number | undefined = 0;
  will: Will | undefined;
  /** Unacknowledged messages that the client takes (section 3.1.2.11.3); MQTT 3 has no such limit. */
  receiveMaximum = 65_535;
  /** Bytes of a packet that the client takes. */
  mostBytes = noLimit;
  /** The messages in flight of earlier connections are sent: newer ones follow. */
  connected = false;
  subscriber: Subscriber | undefined;
  /** Settles when all its packets so far are answered: answers are sent in the order of the packets. */
  tail: Promise<void> | undefined;
  /** One of its packets failed: what follows is not accepted either. */
  broken = false;
  /** of a clean session, which ends with the connection */
  inbox: Inbox | undefined;
  /** messages of QoS 1 that are being stored */
  unanswered = 0;
  /** ids of messages of QoS 2 that came on this connection and are not completed (PUBCOMP) */
  readonly uncompleted = new Set<number>();
  /** the acknowledgement expected next, by message id */
  awaited: Map<number, Ack> | undefined;
  /** Of a clean session: messages that wait until others are acknowledged. */
  waiting: BrokerPacket[] | undefined;
  nextId = 1;
  /** Its in-flight window is full: further messages stay in the queue of its session. */
  stalled = false;
  /** Wake what waits for acknowledgements. */
  wakers: (() => void)[] | undefined;
  /** Settles when the retained messages it is being sent are sent. */
  retained: Promise<void> | undefined;
  /** Packets that came right behind the CONNECT (section 3.1.4). */
  early: Inbound[] | undefined;
  inboundAliases: InboundAliases | undefined;
  outboundAliases: OutboundAliases | undefined;

  constructor(conn: Duplex, parts: ClientParts) {
    this.conn = conn;
    this.#parts = parts;
    this.outbound = parts.backlog.open(conn, () => this.identity?.clientId ?? this.id);
    this.outbound.onTaken = () => this.reader.taken();
    this.reader = new ClientReader(this, parts.maxPacketBytes);
    this.publisher = {
      outbound: this.outbound,
      isHeld: false,
      resume: () => this.reader.resume(),
      keepAlive: () => this.heard(),
    };
    this.#timer = parts.clock.after(connectWithinMs, () => this.close("CONNECT did not arrive in time"));
    conn.on("error", (error: Error) => this.close(error.message));
    conn.on("end", () => this.#left());
    conn.on("close", () => this.#left());
    conn.on("readable", () => this.reader.read());
  }

  get isClosed(): boolean {
    return this.state === "closed";
  }

  /** @param seconds the keepalive time; 0: none */
  keepAlive(seconds: number): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    if (seconds === 0 || this.isClosed) return;
    this.heard();
    this.#watch(seconds * 1000 * keepaliveFactor);
  }

  /** Something has come from the client. */
  heard(): void {
    this.#heardMs = this.#parts.clock.monotonicMs();
  }

  take(packet: Inbound): void {
    this.#parts.handlers.take(this, packet);
  }

  /** The client has taken or acknowledged something. */
  progressed(): void {
    if (!this.isClosed) this.#parts.handlers.resume(this);
  }

  /** Disconnects the client because of a packet that violates MQTT. */
  refuse(error: PacketError): void {
    // It is not known which version would be understood: that of most clients.
    if (error.reason === reasons.unsupportedVersion && this.state === "new")
      this.reject(encodeConnack({ version: 4, reason: error.reason }), error.message);
    else this.fail(error.message, error.reason);
  }

  /** Disconnects the client because of an error of its own. @param reason of MQTT 5, which a client of it is sent */
  fail(problem: string, reason: number): void {
    if (this.isClosed) return;
    this.#parts.handlers.failed(this, problem);
    if (!this.#tell(reason)) return this.close(problem);
    this.#end(problem);
    this.#linger();
  }

  /** Sends an answer; one that is larger than the client takes ends the connection. */
  answer(bytes: Buffer): void {
    if (bytes.length <= this.mostBytes) this.outbound.send(bytes);
    else this.fail("the client takes no packet of the size of an answer", reasons.packetTooLarge);
  }

  /** Disconnects the client for a reason that is no error. */
  dismiss(reason: number): void {
    if (!this.#tell(reason)) return this.close();
    this.#end();
    this.#linger();
  }

  /** Refuses the client: the CONNACK is the last that it is sent. */
  reject(connack: Buffer, problem: string): void {
    this.outbound.send(connack);
    this.#end(problem);
    this.#linger();
  }

  /** Closes the connection; what was written is still sent. */
  close(problem?: string): void {
    if (this.isClosed) return;
    this.#end(problem);
    this.conn.destroy();
  }

  #end(problem?: string): void {
    this.state = "closed";
    this.connected = false;
    this.#timer?.[Symbol.dispose]();
    this.outbound.flush();
    this.early = undefined;
    this.waiting = undefined;
    this.#parts.handlers.closed(this, problem);
    const wakers = this.wakers ?? [];
    this.wakers = undefined;
    for (const wake of wakers) wake();
  }

  /**
   * Has the client read why it is disconnected before the connection is closed: if it were closed while the client sends,
   * the client's own system would throw away what it has not read. What the client sends is dropped.
   */
  #linger(): void {
    const { conn, outbound } = this;
    if (conn.destroyed) return;
    outbound.seal();
    this.#timer = this.#parts.clock.after(lingerMs, () => conn.destroy());
    this.reader.discard();
    void outbound.drained(0).then(() => conn.end());
  }

  /** The client has closed its side, or all of the connection. */
  #left(): void {
    if (!this.isClosed) return this.close();
    this.#timer?.[Symbol.dispose]();
    this.conn.destroy();
  }

  /** @returns whether the client is notified */
  #tell(reason: number): boolean {
    if (this.version !== 5 || this.state !== "accepted") return false;
    const frame = encodeDisconnect(reason);
    if (frame.length > this.mostBytes) return false;
    this.outbound.send(frame);
    return true;
  }

  #watch(intervalMs: number): void {
    const silentMs = this.#parts.clock.monotonicMs() - this.#heardMs;
    this.#timer = this.#parts.clock.after(Math.max(1, Math.ceil(intervalMs - silentMs)), () => {
      if (this.#parts.clock.monotonicMs() - this.#heardMs < intervalMs) this.#watch(intervalMs);
      else this.fail("keep alive timeout", reasons.keepAliveTimeout);
    });
  }
}
