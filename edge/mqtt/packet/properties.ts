import { isTopicName } from "./topics.ts";
import { FieldReader } from "./field-reader.ts";
import { PacketError, reasons } from "./reasons.ts";

/** What clients send as properties of MQTT 5 (section 2.2.2.2), as far as the broker acts on them. */
export interface Properties {
  /** seconds */
  sessionExpiry?: number;
  receiveMaximum?: number;
  /** bytes */
  maximumPacketSize?: number;
  topicAliasMaximum?: number;
  requestResponseInformation?: number;
  requestProblemInformation?: number;
  authenticationMethod?: string;
  authenticationData?: Buffer;
  /** seconds */
  willDelay?: number;
  /** seconds */
  messageExpiry?: number;
  topicAlias?: number;
  subscriptionIdentifier?: number;
  reasonString?: string;
  serverReference?: string;
  responseTopic?: string;
  /** 1: the payload is UTF-8 */
  payloadFormat?: number;
  contentType?: string;
  correlationData?: Buffer;
  /**
   * What subscribers get unchanged, and in this order (MQTT-3.3.2-18), as it was sent: payload format, content type,
   * response topic, correlation data and user properties.
   */
  forwarded?: Buffer;
}

type PropertyName = Exclude<keyof Properties, "forwarded">;
type Packets = "connect" | "will" | "publish" | "ack" | "subscribe" | "unsubscribe" | "disconnect" | "auth";

interface PropertyKind {
  readonly name: PropertyName;
  readonly type: "flag" | "word" | "doubleWord" | "varInt" | "text" | "binary";
  readonly packets: readonly Packets[];
  /** 0 is a protocol error. */
  readonly positive?: boolean;
  readonly forwarded?: boolean;
}

const messages = ["publish", "will"] as const;

const kinds: Readonly<Record<number, PropertyKind>> = {
  0x01: { name: "payloadFormat", type: "flag", packets: messages, forwarded: true },
  0x02: { name: "messageExpiry", type: "doubleWord", packets: messages },
  0x03: { name: "contentType", type: "text", packets: messages, forwarded: true },
  0x08: { name: "responseTopic", type: "text", packets: messages, forwarded: true },
  0x09: { name: "correlationData", type: "binary", packets: messages, forwarded: true },
  0x0b: { name: "subscriptionIdentifier", type: "varInt", packets: ["subscribe"], positive: true },
  0x11: { name: "sessionExpiry", type: "doubleWord", packets: ["connect", "disconnect"] },
  0x15: { name: "authenticationMethod", type: "text", packets: ["connect", "auth"] },
  0x16: { name: "authenticationData", type: "binary", packets: ["connect", "auth"] },
  0x17: { name: "requestProblemInformation", type: "flag", packets: ["connect"] },
  0x18: { name: "willDelay", type: "doubleWord", packets: ["will"] },
  0x19: { name: "requestResponseInformation", type: "flag", packets: ["connect"] },
  0x1f: { name: "reasonString", type: "text", packets: ["ack", "disconnect", "auth"] },
  0x21: { name: "receiveMaximum", type: "word", packets: ["connect"], positive: true },
  0x22: { name: "topicAliasMaximum", type: "word", packets: ["connect"] },
  // A PUBLISH with alias 0 has its own reason code.
  0x23: { name: "topicAlias", type: "word", packets: ["publish"] },
  0x27: { name: "maximumPacketSize", type: "doubleWord", packets: ["connect"], positive: true },
};
const userProperty = 0x26;

/** Reads the properties of a packet. @throws PacketError for one that is unknown, repeated, misplaced or out of range */
export function readProperties(reader: FieldReader, packets: Packets): Properties {
  const length = reader.varInt();
  if (length === 0) return {};
  if (length > reader.left) throw new PacketError("properties longer than their packet");
  const inside = new FieldReader(reader.bytes, reader.at, reader.at + length);
  reader.at += length;
  const found: Properties = {};
  const forwarded: Buffer[] = [];
  while (inside.left > 0) {
    const start = inside.at;
    if (readOne(inside, packets, found)) forwarded.push(inside.bytes.subarray(start, inside.at));
  }
  // Copied, because a view would keep the buffer that was read with it.
  if (forwarded.length > 0) found.forwarded = Buffer.concat(forwarded);
  check(found);
  return found;
}

/** @returns whether subscribers get it too */
function readOne(inside: FieldReader, packets: Packets, found: Properties): boolean {
  const code = inside.varInt();
  if (code === userProperty) {
    inside.text();
    inside.text();
    return packets === "publish" || packets === "will";
  }
  const kind = kinds[code];
  // Section 2.2.2.2: an identifier that is not valid for the packet is malformed.
  if (!kind?.packets.includes(packets))
    throw new PacketError(`property ${code} in a packet that has no such`);
  const { name, type, positive, forwarded = false } = kind;
  if (found[name] !== undefined) throw new PacketError(`property ${name} given twice`, reasons.protocolError);
  const value = inside[type]();
  if (positive && value === 0) throw new PacketError(`property ${name} is 0`, reasons.protocolError);
  // The table has the type of each property.
  Object.assign(found, { [name]: value });
  return forwarded;
}

function check({ responseTopic, authenticationData, authenticationMethod }: Properties): void {
  if (responseTopic !== undefined && !isTopicName(responseTopic))
    throw new PacketError("response topic with wildcards", reasons.protocolError);
  if (authenticationData && authenticationMethod === undefined)
    throw new PacketError("authentication data without a method", reasons.protocolError);
}

/** Encodes subscription identifiers as properties of a PUBLISH. */
export function encodeIdentifiers(identifiers: readonly number[]): Buffer {
  return Buffer.from(identifiers.flatMap((identifier) => [0x0b, ...varInt(identifier)]));
}

/** A variable byte integer (section 1.5.5). */
export function varInt(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
