export type QoS = 0 | 1 | 2;

/** The QoS of a delivery: the lower of those of the message and of the subscription (MQTT 3.1.1 section 3.8.4). */
export function lowerQos(message: QoS, granted: QoS): QoS {
  return message < granted ? message : granted;
}

/** A QoS that was read from disk. */
export function parseQos(value: number): QoS {
  return value === 1 || value === 2 ? value : 0;
}

/** A PUBLISH as aedes represents it, or the PUBREL that follows one of QoS 2. */
export interface BrokerPacket {
  readonly cmd: "publish" | "pubrel";
  readonly topic?: string;
  readonly payload?: Buffer | string;
  qos: QoS;
  readonly retain?: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  /** together with `brokerCounter` identifies a publication in the queues of all sessions */
  brokerId?: string;
  brokerCounter?: number;
  clientId?: string;
  /** of a will: the user of the client */
  user?: string | undefined;
}

export interface Subscription {
  readonly topic: string;
  readonly qos: QoS;
}

export interface Subscribe {
  readonly cmd: "subscribe";
  readonly messageId?: number;
  readonly subscriptions: readonly Subscription[];
}

export interface Unsubscribe {
  readonly cmd: "unsubscribe";
  readonly messageId?: number;
  readonly unsubscriptions: readonly string[];
}

export type Publish = BrokerPacket & { readonly cmd: "publish" };
export type PublishRelease = { readonly cmd: "pubrel"; readonly messageId?: number };

/** A packet from a client that we handle instead of aedes. */
export type Inbound = Publish | PublishRelease | Subscribe | Unsubscribe;
