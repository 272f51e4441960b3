import type { Duplex } from "node:stream";
import type { ClientIdentity } from "#edge/mqtt/access";
import type { Outbound, Publisher } from "#edge/mqtt/flow";
import type { BrokerPacket, QoS } from "#edge/mqtt/packet";
import type { Inbox } from "#edge/mqtt/sessions";
import type { InnerParser } from "./protocol-rules.ts";

/** Who gets messages: a connection. */
export interface Subscriber {
  readonly outbound: Outbound;
  /** Whether it is there: what it misses else is in its queue, or was of QoS 0. */
  readonly open: () => boolean;
  /** Whether its rules let it have this topic. */
  readonly may: (topic: string) => boolean;
  /** Takes over a message of QoS 1 or 2; its payload is not copied. */
  readonly deliver: (packet: BrokerPacket, qos: 1 | 2) => void;
  /** It may not have a message of QoS 1 or 2. */
  readonly refuse: (packet: BrokerPacket) => void;
}

/** What of aedes' client is touched beside its interface, and what is kept with it. */
export interface BrokerClient {
  /** Once it is let in, the name of its session. */
  id: string | null;
  readonly clean: boolean;
  readonly closed: boolean;
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
  _nextBatch: (error?: Error | null) => void;
  _parsingBatch: number;
  _nextId: number;
  duplicates: object;
  waitForDrain(done: (error: Error | null, client: unknown) => void): void;
  emit(event: "error", error: Error): boolean;
  /** All that is written to it. */
  outbound: Outbound;
  /** As far as it can be paused. */
  publisher: Publisher;
  subscriber?: Subscriber;
  identity?: ClientIdentity;
  /** settles when what it published so far is answered: answers go out in the order of the questions */
  tail?: Promise<void> | undefined;
  /** Something it published could not be taken: what follows is not taken either. */
  broken?: boolean;
  /** of a session that ends with the connection */
  inbox?: Inbox;
  /** the acknowledgement that has to come next, by message id */
  awaited?: Map<number, Ack>;
  /** It has as much to acknowledge as it may: what follows waits in its queue. */
  stalled?: boolean;
  /** Its CONNECT was answered: what came behind it is dealt with. */
  letIn?: () => void;
  /** Sends what waits in its queue. */
  sendQueued?: () => void;
  /** Wakes who waits for acknowledgements. */
  wake?: (() => void) | undefined;
  /** the retained messages it is being sent */
  retained?: Promise<void>;
}

export type Ack = "puback" | "pubrec" | "pubcomp";
