import type { Duplex } from "node:stream";
import type { ClientIdentity } from "#edge/mqtt/access";
import type { Outbound, Publisher } from "#edge/mqtt/flow";
import type { BrokerPacket, QoS } from "#edge/mqtt/packet";
import type { Inbox } from "#edge/mqtt/sessions";
import type { InnerParser } from "./protocol-rules.ts";

/** A connection as a receiver of messages. */
export interface Subscriber {
  readonly outbound: Outbound;
  /** Whether it can be written to. What it misses otherwise is in the queue of its session, or was of QoS 0. */
  readonly isOpen: () => boolean;
  /** Whether the topic rules let it read this topic. */
  readonly mayReceive: (topic: string) => boolean;
  /** Takes over a message of QoS 1 or 2; its payload is not copied. */
  readonly deliver: (packet: BrokerPacket, qos: 1 | 2) => void;
  /** Removes a message of QoS 1 or 2 that it may not receive from the queue of its session. */
  readonly refuse: (packet: BrokerPacket) => void;
}

/** The fields of aedes' client that we use, its private ones included, and what we keep for each client. */
export interface BrokerClient {
  /** The name of its session (see `sessionName`) as soon as it is authenticated, its client id before. */
  id: string | null;
  readonly clean: boolean;
  readonly closed: boolean;
  /** 3 for MQTT 3.1, 4 for 3.1.1; null before the CONNECT */
  readonly version: number | null;
  readonly connecting: boolean;
  readonly connected: boolean;
  readonly connackSent: boolean;
  readonly conn: Duplex;
  readonly subscriptions: Readonly<Record<string, { readonly qos: QoS }>>;
  readonly will: BrokerPacket | null;
  readonly _parser: InnerParser & NodeJS.EventEmitter;
  readonly _will: BrokerPacket | null;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  /** Called by aedes for each packet that it has handled. */
  _nextBatch: (error?: Error | null) => void;
  /** packets that are being handled */
  _parsingBatch: number;
  /** message id of the next PUBLISH */
  _nextId: number;
  duplicates: object;
  waitForDrain(done: (error: Error | null, client: unknown) => void): void;
  emit(event: "error", error: Error): boolean;
  /** Everything that is written to the client goes through it. */
  outbound: Outbound;
  /** The client as a sender of messages, which can be paused. */
  publisher: Publisher;
  subscriber?: Subscriber;
  identity?: ClientIdentity;
  /** Settles when all its packets so far are answered: answers are sent in the order of the packets. */
  tail?: Promise<void> | undefined;
  /** One of its packets failed: what follows is not accepted either. */
  broken?: boolean;
  /** of a clean session, which ends with the connection */
  inbox?: Inbox;
  /** the acknowledgement expected next, by message id */
  awaited?: Map<number, Ack>;
  /** Its in-flight window is full: further messages stay in the queue of its session. */
  stalled?: boolean;
  /** Called when the CONNACK is sent: handles the packets that arrived right behind the CONNECT. */
  onConnack?: () => void;
  /** Sends messages from the queue of its session. */
  sendQueued?: () => void;
  /** Wakes what waits for acknowledgements. */
  wake?: (() => void) | undefined;
  /** Settles when the retained messages it is being sent are sent. */
  retained?: Promise<void>;
}

/** What a client answers a message with (MQTT 3.1.1 section 4.3). */
export type Ack = "puback" | "pubrec" | "pubcomp";
