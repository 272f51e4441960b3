import type { QoS } from "./packets.ts";

export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  /** for QoS 1 and 2 */
  readonly messageId?: number;
}

/** Encodes a PUBLISH packet without the DUP flag (MQTT 3.1.1 section 3.3) in one buffer. */
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
  { topic, payload, qos, retain, messageId = 0 }: Publication,
  room: number,
): { readonly frame: Buffer; readonly length: number } {
  const topicBytes = Buffer.byteLength(topic);
  const variableHeader = 2 + topicBytes + (qos > 0 ? 2 : 0);
  const remaining = variableHeader + payload.length;
  const lengthBytes = bytesOfLength(remaining);
  const frame = Buffer.allocUnsafe(1 + lengthBytes + variableHeader + room);
  frame[0] = 0x30 | (qos << 1) | Number(retain);
  writeLength(frame, remaining, lengthBytes);
  let end = frame.writeUInt16BE(topicBytes, 1 + lengthBytes);
  end += frame.write(topic, end);
  if (qos > 0) end = frame.writeUInt16BE(messageId, end);
  return { frame, length: end };
}

/** First bytes of the packets that consist of a message id (MQTT 3.1.1 sections 3.4, 3.5, 3.7 and 3.11). */
const acks = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70, unsuback: 0xb0 } as const;

export type AckKind = keyof typeof acks;

export function encodeAck(kind: AckKind, messageId: number): Buffer {
  return Buffer.from([acks[kind], 2, messageId >> 8, messageId & 0xff]);
}

/** `codes` has the granted QoS of each filter, or 0x80 for a refused one (MQTT 3.1.1 section 3.9.3). */
export function encodeSuback(messageId: number, codes: readonly number[]): Buffer {
  const length = 2 + codes.length;
  const lengthBytes = bytesOfLength(length);
  const frame = Buffer.allocUnsafe(1 + lengthBytes + length);
  frame[0] = 0x90;
  writeLength(frame, length, lengthBytes);
  frame.set(codes, frame.writeUInt16BE(messageId, 1 + lengthBytes));
  return frame;
}

/** Encodes a CONNACK that refuses the connection with a return code of MQTT 3.1.1 section 3.2.2.3. */
export function encodeRefusal(returnCode: number): Buffer {
  return Buffer.from([0x20, 2, 0, returnCode]);
}

/** Remaining length, 7 bits a byte (MQTT 3.1.1 section 2.2.3). */
function writeLength(frame: Buffer, length: number, lengthBytes: number): void {
  for (let index = 1, rest = length; index <= lengthBytes; index += 1, rest >>>= 7)
    frame[index] = (rest & 0x7f) | (index < lengthBytes ? 0x80 : 0);
}

function bytesOfLength(length: number): number {
  if (length < 128) return 1;
  if (length < 16_384) return 2;
  return length < 2_097_152 ? 3 : 4;
}
