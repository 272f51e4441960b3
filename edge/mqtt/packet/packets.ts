import type { Properties } from "./properties.ts";

export type QoS = 0 | 1 | 2;

/** Protocol level in the CONNECT: 3 for MQTT 3.1, 4 for 3.1.1, 5 for 5. */
export type Version = 3 | 4 | 5;

/** The QoS of a delivery: the lower of those of the message and of the subscription (MQTT 3.1.1 section 3.8.4). */
export function lowerQos(message: QoS, granted: QoS): QoS {
  return message < granted ? message : granted;
}

/** A QoS that was read from disk. */
export function parseQos(value: number): QoS {
  return value === 1 || value === 2 ? value : 0;
}

/** A message, or the PUBREL that follows one of QoS 2. */
export interface BrokerPacket {
  readonly cmd: "publish" | "pubrel";
  readonly topic?: string;
  readonly payload?: Buffer | string;
  qos: QoS;
  readonly retain?: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  /** Properties of MQTT 5 as subscribers get them: those of `Properties.forwarded`, then subscription identifiers. */
  readonly properties?: Buffer | undefined;
  /** Time of the `BrokerClock` from which on it is not delivered any more. */
  readonly expiresAtMs?: number | undefined;
  /** together with `brokerCounter` identifies a publication in the queues of all sessions */
  brokerId?: string;
  brokerCounter?: number;
  /** session of the client that published it */
  origin?: string | undefined;
}

/** The message that is published for a client whose connection ends without a DISCONNECT. */
export interface Will extends BrokerPacket {
  readonly cmd: "publish";
  /** seconds for which the message is valid once it is published */
  readonly expirySeconds?: number | undefined;
  /** seconds between the end of the connection and the publication */
  readonly delaySeconds: number;
  /** who the client was: the topic rules may change */
  user?: string | undefined;
  clientId?: string;
}

/** How a subscription is served (MQTT 5 section 3.8.3.1). Clients of MQTT 3 have the QoS alone. */
export interface Subscription {
  readonly topic: string;
  readonly qos: QoS;
  /** Messages of the client itself are not delivered. */
  readonly noLocal?: boolean | undefined;
  /** The RETAIN flag is passed on as it was published. */
  readonly retainAsPublished?: boolean | undefined;
  /** Given with each delivery; none: undefined. */
  readonly identifier?: number | undefined;
}

/** Which retained messages a SUBSCRIBE asks for: 0 all, 1 if the subscription is new, 2 none. */
export type RetainHandling = 0 | 1 | 2;

export interface RequestedSubscription extends Subscription {
  readonly retainHandling: RetainHandling;
}

export interface Connect {
  readonly cmd: "connect";
  readonly version: Version;
  readonly clientId: string;
  readonly clean: boolean;
  /** seconds */
  readonly keepalive: number;
  readonly username?: string | undefined;
  readonly password?: Buffer | undefined;
  readonly will?: Will | undefined;
  readonly properties: Properties;
}

export interface Publish extends BrokerPacket {
  readonly cmd: "publish";
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly expirySeconds?: number | undefined;
  readonly topicAlias?: number | undefined;
}

export interface Subscribe {
  readonly cmd: "subscribe";
  readonly messageId: number;
  readonly subscriptions: readonly RequestedSubscription[];
}

export interface Unsubscribe {
  readonly cmd: "unsubscribe";
  readonly messageId: number;
  readonly unsubscriptions: readonly string[];
}

export interface Acknowledgement {
  readonly cmd: "puback" | "pubrec" | "pubcomp";
  readonly messageId: number;
  /** from 0x80 on the client has refused the message */
  readonly reason: number;
}

export interface PublishRelease {
  readonly cmd: "pubrel";
  readonly messageId: number;
}

export interface Disconnect {
  readonly cmd: "disconnect";
  readonly reason: number;
  readonly properties: Properties;
}

export interface Authenticate {
  readonly cmd: "auth";
}

/** A packet from a client. */
export type Inbound =
  | Connect
  | Publish
  | PublishRelease
  | Acknowledgement
  | Subscribe
  | Unsubscribe
  | Disconnect
  | Authenticate
  | { readonly cmd: "pingreq" };
