import { generate } from "mqtt-packet";
import type { QoS, Version } from "./packets.ts";
import { returnCodeOf } from "./reasons.ts";

export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  readonly dup?: boolean;
  /** for QoS 1 and 2 */
  readonly messageId?: number;
  /** Of MQTT 5; undefined for a client of MQTT 3. */
  readonly properties?: PublicationProperties | undefined;
}

export interface PublicationProperties {
  /** encoded, as in `BrokerPacket.properties` */
  readonly encoded?: Buffer | undefined;
  /** seconds for which the message is still valid */
  readonly expirySeconds?: number | undefined;
  readonly alias?: number | undefined;
}

const messageExpiry = 0x02;
const topicAlias = 0x23;

/** Encodes a PUBLISH packet (MQTT 3.1.1 and 5 section 3.3) in one buffer. */
export function encodePublish(publication: Publication): Buffer {
  const { payload } = publication;
  const { frame, length } = encodeHead(publication, payload.length);
  payload.copy(frame, length);
  return frame;
}

/** Encodes a PUBLISH packet up to its payload, so that one payload can be sent to many clients without a copy. */
export function encodePublishHead(publication: Publication): Buffer {
  return encodeHead(publication, 0).frame;
}

/** @returns a buffer that starts with the head and has `room` bytes behind it, and the length of the head */
function encodeHead(
  { topic, payload, qos, retain, dup = false, messageId = 0, properties }: Publication,
  room: number,
): { readonly frame: Buffer; readonly length: number } {
  const topicBytes = Buffer.byteLength(topic);
  const propertyBytes = properties ? lengthOf(properties) : 0;
  const propertiesLength = properties ? bytesOfLength(propertyBytes) + propertyBytes : 0;
  const variableHeader = 2 + topicBytes + (qos > 0 ? 2 : 0) + propertiesLength;
  const remaining = variableHeader + payload.length;
  const lengthBytes = bytesOfLength(remaining);
  const frame = Buffer.allocUnsafe(1 + lengthBytes + variableHeader + room);
  frame[0] = 0x30 | (Number(dup) << 3) | (qos << 1) | Number(retain);
  writeLength(frame, { length: remaining, lengthBytes, at: 1 });
  let end = frame.writeUInt16BE(topicBytes, 1 + lengthBytes);
  end += frame.write(topic, end);
  if (qos > 0) end = frame.writeUInt16BE(messageId, end);
  if (properties) end = writeProperties(frame, end, { properties, length: propertyBytes });
  return { frame, length: end };
}

function lengthOf({ encoded, expirySeconds, alias }: PublicationProperties): number {
  return (encoded?.length ?? 0) + (expirySeconds === undefined ? 0 : 5) + (alias === undefined ? 0 : 3);
}

function writeProperties(
  frame: Buffer,
  at: number,
  { properties, length }: { readonly properties: PublicationProperties; readonly length: number },
): number {
  const { encoded, expirySeconds, alias } = properties;
  const lengthBytes = bytesOfLength(length);
  writeLength(frame, { length, lengthBytes, at });
  let end = at + lengthBytes;
  if (expirySeconds !== undefined) {
    frame[end] = messageExpiry;
    end = frame.writeUInt32BE(expirySeconds, end + 1);
  }
  if (alias !== undefined) {
    frame[end] = topicAlias;
    end = frame.writeUInt16BE(alias, end + 1);
  }
  return end + (encoded?.copy(frame, end) ?? 0);
}

/** First bytes of the packets that consist of a message id and a reason (MQTT 5 sections 3.4 to 3.7). */
const acks = { puback: 0x40, pubrec: 0x50, pubrel: 0x62, pubcomp: 0x70 } as const;

export type AckKind = keyof typeof acks;

/** @param reason of MQTT 5; 0 is left out, as it may be */
export function encodeAck(kind: AckKind, messageId: number, reason = 0): Buffer {
  const [high, low] = [messageId >> 8, messageId & 0xff];
  return Buffer.from(reason === 0 ? [acks[kind], 2, high, low] : [acks[kind], 3, high, low, reason]);
}

/** `codes` has the granted QoS of each filter, or 0x80 or more for a refused one (MQTT 3.1.1 and 5 section 3.9.3). */
export function encodeSuback(messageId: number, codes: readonly number[], version: Version): Buffer {
  const known = version === 5 ? codes : codes.map((code) => Math.min(code, 0x80));
  return encodeCodes(0x90, messageId, { codes: known, version });
}

/** @param codes a reason for each filter, which MQTT 3 does not have */
export function encodeUnsuback(messageId: number, codes: readonly number[], version: Version): Buffer {
  return encodeCodes(0xb0, messageId, { codes: version === 5 ? codes : [], version });
}

function encodeCodes(
  first: number,
  messageId: number,
  { codes, version }: { readonly codes: readonly number[]; readonly version: Version },
): Buffer {
  const properties = version === 5 ? 1 : 0;
  const length = 2 + properties + codes.length;
  const lengthBytes = bytesOfLength(length);
  const frame = Buffer.alloc(1 + lengthBytes + length);
  frame[0] = first;
  writeLength(frame, { length, lengthBytes, at: 1 });
  frame.set(codes, frame.writeUInt16BE(messageId, 1 + lengthBytes) + properties);
  return frame;
}

/** What the broker tells a client of MQTT 5 in its CONNACK (section 3.2.2.3). */
export interface ConnackProperties {
  readonly sessionExpiryInterval?: number;
  readonly receiveMaximum?: number;
  readonly maximumPacketSize?: number;
  readonly topicAliasMaximum?: number;
  readonly assignedClientIdentifier?: string;
  readonly serverKeepAlive?: number;
}

export interface Connack {
  readonly version: Version;
  /** of MQTT 5; translated for clients of MQTT 3 */
  readonly reason: number;
  readonly sessionPresent?: boolean;
  readonly properties?: ConnackProperties;
}

export function encodeConnack({ version, reason, sessionPresent = false, properties = {} }: Connack): Buffer {
  const present = sessionPresent && version !== 3;
  if (version !== 5) return Buffer.from([0x20, 2, Number(present), returnCodeOf(reason)]);
  return generate(
    { cmd: "connack", sessionPresent: present, reasonCode: reason, properties: { ...properties } },
    { protocolVersion: 5 },
  );
}

/** Of MQTT 5 alone: a broker of MQTT 3 closes the connection without a word. */
export function encodeDisconnect(reason: number): Buffer {
  return Buffer.from([0xe0, 1, reason]);
}

/** Remaining length, 7 bits a byte (MQTT 3.1.1 section 2.2.3). */
function writeLength(
  frame: Buffer,
  { length, lengthBytes, at }: { readonly length: number; readonly lengthBytes: number; readonly at: number },
): void {
  for (let index = 0, rest = length; index < lengthBytes; index += 1, rest >>>= 7)
    frame[at + index] = (rest & 0x7f) | (index < lengthBytes - 1 ? 0x80 : 0);
}

function bytesOfLength(length: number): number {
  if (length < 128) return 1;
  if (length < 16_384) return 2;
  return length < 2_097_152 ? 3 : 4;
}
