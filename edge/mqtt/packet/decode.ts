import type { FieldReader } from "./field-reader.ts";
import type {
  Acknowledgement,
  Connect,
  Disconnect,
  Inbound,
  Publish,
  RequestedSubscription,
  Subscribe,
  Unsubscribe,
  Version,
  Will,
} from "./packets.ts";
import { parseQos } from "./packets.ts";
import { readProperties, type Properties } from "./properties.ts";
import { PacketError, reasons } from "./reasons.ts";
import { isFilter, isSharedFilter, isTopicName } from "./topics.ts";

/** Filters in one SUBSCRIBE or UNSUBSCRIBE: as many as a client may have subscriptions (see routing/subscribing.ts). */
const mostFilters = 10_000;
const dupFlag = 0x08;
/** Types of packet that clients send (section 2.1.2). */
const types = {
  connect: 1,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
  auth: 15,
} as const;
/** The reserved flags of these packets are 0010 (section 2.1.3); 3.1 lets a client repeat them, with the DUP flag. */
const flagged: ReadonlySet<number> = new Set([types.pubrel, types.subscribe, types.unsubscribe]);
const noProperties: Properties = {};

/**
 * Decodes the body of a packet, which `reader` covers exactly.
 * @param first the first byte of the packet: type and flags
 * @throws PacketError when the packet violates the version of MQTT
 */
export function decode(first: number, reader: FieldReader, version: Version | undefined): Inbound {
  const type = first >> 4;
  const flags = first & 0x0f;
  if (type === types.publish) return decodePublish(flags, reader, version);
  checkFlags(type, flags, version);
  const decoder = decoders[type];
  if (!decoder || (type === types.auth && version !== 5))
    throw new PacketError(`packet of type ${type}`, reasons.protocolError);
  return decoder(reader, version);
}

type Decoder = (reader: FieldReader, version: Version | undefined) => Inbound;

const decoders: Readonly<Record<number, Decoder>> = {
  [types.connect]: decodeConnect,
  [types.puback]: (reader, version) => decodeAck("puback", reader, version),
  [types.pubrec]: (reader, version) => decodeAck("pubrec", reader, version),
  [types.pubrel]: (reader, version) => ({
    cmd: "pubrel",
    messageId: readAck("pubrel", reader, version).messageId,
  }),
  [types.pubcomp]: (reader, version) => decodeAck("pubcomp", reader, version),
  [types.subscribe]: decodeSubscribe,
  [types.unsubscribe]: decodeUnsubscribe,
  [types.pingreq]: (reader) => {
    reader.finish("PINGREQ");
    return { cmd: "pingreq" };
  },
  [types.disconnect]: decodeDisconnect,
  // Whatever it says, there is no authentication to go on with.
  [types.auth]: () => ({ cmd: "auth" }),
};

function checkFlags(type: number, flags: number, version: Version | undefined): void {
  const wanted = flagged.has(type) ? 2 : 0;
  const isRepeated = version === 3 && wanted === 2 && flags === (dupFlag | wanted);
  if (flags !== wanted && !isRepeated)
    throw new PacketError(`reserved flags ${flags} of packet type ${type}`);
}

function decodePublish(flags: number, reader: FieldReader, version: Version | undefined): Publish {
  const bits = (flags >> 1) & 3;
  if (bits === 3) throw new PacketError("PUBLISH with QoS 3");
  const qos = parseQos(bits);
  const dup = (flags & dupFlag) !== 0;
  if (qos === 0 && dup) throw new PacketError("PUBLISH of QoS 0 with the DUP flag");
  const topic = reader.text();
  const messageId = qos === 0 ? undefined : readId(reader);
  const retain = (flags & 1) !== 0;
  if (version !== 5) return { cmd: "publish", topic, payload: reader.rest(), qos, retain, dup, messageId };
  const properties = readProperties(reader, "publish");
  return {
    cmd: "publish",
    topic,
    payload: reader.rest(),
    qos,
    retain,
    dup,
    messageId,
    properties: properties.forwarded,
    expirySeconds: properties.messageExpiry,
    topicAlias: properties.topicAlias,
  };
}

/** Message ids are not 0 (section 2.2.1). */
function readId(reader: FieldReader): number {
  const id = reader.word();
  if (id === 0) throw new PacketError("message id 0");
  return id;
}

function decodeAck(
  cmd: Acknowledgement["cmd"],
  reader: FieldReader,
  version: Version | undefined,
): Acknowledgement {
  return { cmd, ...readAck(cmd, reader, version) };
}

const ackReasons: ReadonlySet<number> = new Set([0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]);
const releaseReasons: ReadonlySet<number> = new Set([0x00, 0x92]);

function readAck(
  cmd: Acknowledgement["cmd"] | "pubrel",
  reader: FieldReader,
  version: Version | undefined,
): { readonly messageId: number; readonly reason: number } {
  const messageId = readId(reader);
  const reason = version === 5 && reader.left > 0 ? reader.byte() : 0;
  if (version === 5 && reader.left > 0) readProperties(reader, "ack");
  reader.finish(cmd.toUpperCase());
  const known = cmd === "puback" || cmd === "pubrec" ? ackReasons : releaseReasons;
  if (!known.has(reason)) throw new PacketError(`${cmd} with reason ${reason}`, reasons.protocolError);
  return { messageId, reason };
}

function decodeSubscribe(reader: FieldReader, version: Version | undefined): Subscribe {
  const messageId = readId(reader);
  const identifier = version === 5 ? readProperties(reader, "subscribe").subscriptionIdentifier : undefined;
  const subscriptions: RequestedSubscription[] = [];
  while (reader.left > 0) {
    const topic = readFilter(reader);
    const options = reader.byte();
    const subscription = readOptions(topic, options, version);
    subscriptions.push(identifier === undefined ? subscription : { ...subscription, identifier });
    checkCount(subscriptions.length);
  }
  if (subscriptions.length === 0) throw new PacketError("SUBSCRIBE without a filter", reasons.protocolError);
  return { cmd: "subscribe", messageId, subscriptions };
}

function readOptions(topic: string, options: number, version: Version | undefined): RequestedSubscription {
  const qos = options & 3;
  const handling = (options >> 4) & 3;
  if (qos === 3 || handling === 3 || (options & (version === 5 ? 0xc0 : 0xfc)) !== 0)
    throw new PacketError(`subscription options ${options}`);
  const noLocal = (options & 4) !== 0;
  if (noLocal && topic.startsWith("$share/"))
    throw new PacketError("shared subscription with No Local", reasons.protocolError);
  const common = {
    topic,
    qos: parseQos(qos),
    retainHandling: handling === 0 ? 0 : handling === 1 ? 1 : 2,
  } as const;
  if (version !== 5) return common;
  return { ...common, noLocal, retainAsPublished: (options & 8) !== 0 };
}

function decodeUnsubscribe(reader: FieldReader, version: Version | undefined): Unsubscribe {
  const messageId = readId(reader);
  if (version === 5) readProperties(reader, "unsubscribe");
  const unsubscriptions: string[] = [];
  while (reader.left > 0) {
    unsubscriptions.push(readFilter(reader));
    checkCount(unsubscriptions.length);
  }
  if (unsubscriptions.length === 0)
    throw new PacketError("UNSUBSCRIBE without a filter", reasons.protocolError);
  return { cmd: "unsubscribe", messageId, unsubscriptions };
}

function readFilter(reader: FieldReader): string {
  const filter = reader.text();
  const isValid = filter.startsWith("$share/") ? isSharedFilter(filter) : isFilter(filter);
  if (!isValid) throw new PacketError(`invalid filter ${JSON.stringify(filter.slice(0, 200))}`);
  return filter;
}

function checkCount(filters: number): void {
  if (filters > mostFilters)
    throw new PacketError(`more than ${mostFilters} filters in a packet`, reasons.implementation);
}

const disconnectReasons: ReadonlySet<number> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
]);

function decodeDisconnect(reader: FieldReader, version: Version | undefined): Disconnect {
  const reason = version === 5 && reader.left > 0 ? reader.byte() : 0;
  const properties = version === 5 && reader.left > 0 ? readProperties(reader, "disconnect") : noProperties;
  reader.finish("DISCONNECT");
  if (!disconnectReasons.has(reason))
    throw new PacketError(`DISCONNECT with reason ${reason}`, reasons.protocolError);
  return { cmd: "disconnect", reason, properties };
}

/** Bits of the CONNECT flags (section 3.1.2.3). */
const connectFlags = {
  reserved: 1,
  clean: 2,
  will: 4,
  willRetain: 0x20,
  password: 0x40,
  username: 0x80,
} as const;

function decodeConnect(reader: FieldReader): Connect {
  const version = readVersion(reader);
  const flags = reader.byte();
  if ((flags & connectFlags.reserved) !== 0) throw new PacketError("reserved flag in CONNECT");
  const hasUser = (flags & connectFlags.username) !== 0;
  const hasPassword = (flags & connectFlags.password) !== 0;
  if (hasPassword && !hasUser && version !== 5) throw new PacketError("password without a user name");
  const keepalive = reader.word();
  const properties = version === 5 ? readProperties(reader, "connect") : noProperties;
  const clientId = reader.text();
  const will = readWill(flags, reader, version);
  const username = hasUser ? reader.text() : undefined;
  const password = hasPassword ? reader.binary() : undefined;
  reader.finish("CONNECT");
  const clean = (flags & connectFlags.clean) !== 0;
  return { cmd: "connect", version, clientId, clean, keepalive, username, password, will, properties };
}

/** `MQTT` is the name of 3.1.1 and 5, `MQIsdp` that of 3.1. A bridge sets the highest bit of the level. */
function readVersion(reader: FieldReader): Version {
  const name = reader.text();
  if (name !== "MQTT" && name !== "MQIsdp") throw new PacketError("unknown protocol name");
  const level = reader.byte() & 0x7f;
  if (name === "MQIsdp" && level === 3) return 3;
  if (name === "MQTT" && (level === 4 || level === 5)) return level;
  throw new PacketError(`${name} with level ${level}`, reasons.unsupportedVersion);
}

function readWill(flags: number, reader: FieldReader, version: Version): Will | undefined {
  const bits = (flags >> 3) & 3;
  const retain = (flags & connectFlags.willRetain) !== 0;
  if ((flags & connectFlags.will) === 0) {
    if (bits !== 0 || retain) throw new PacketError("flags of a will without a will");
    return undefined;
  }
  if (bits === 3) throw new PacketError("will with QoS 3");
  const properties = version === 5 ? readProperties(reader, "will") : noProperties;
  const topic = reader.text();
  // Copied, because a view would keep the buffer that was read with it.
  const payload = Buffer.from(reader.binary());
  if (!isTopicName(topic)) throw new PacketError("will without a topic", reasons.topicInvalid);
  return {
    cmd: "publish",
    topic,
    payload,
    qos: parseQos(bits),
    retain,
    properties: properties.forwarded,
    expirySeconds: properties.messageExpiry,
    delaySeconds: properties.willDelay ?? 0,
  };
}
