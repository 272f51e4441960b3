import type { QoS } from "./packets.ts";

export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: QoS;
  readonly retain: boolean;
  /** for QoS 1 and 2 */
  readonly messageId?: number;
}

/** A PUBLISH packet that is no repetition, in one piece. */
export function encodePublish(publication: Publication): Buffer {
  const { payload } = publication;
  const { frame, at } = encodeHead(publication, payload.length);
  payload.copy(frame, at);
  return frame;
}

/** A PUBLISH packet as far as it goes before the payload. */
export function encodePublishHead(publication: Publication): Buffer {
  return encodeHead(publication, 0).frame;
}

/** `room` is for what comes behind it. */
function encodeHead(
  { topic, payload, qos, retain, messageId = 0 }: Publication,
  room: number,
): { readonly frame: Buffer; readonly at: number } {
  const topicBytes = Buffer.byteLength(topic);
  const headLength = 2 + topicBytes + (qos > 0 ? 2 : 0);
  const length = headLength + payload.length;
  const lengthBytes = bytesOfLength(length);
  const frame = Buffer.allocUnsafe(1 + lengthBytes + headLength + room);
  frame[0] = 0x30 | (qos << 1) | Number(retain);
  writeLength(frame, length, lengthBytes);
  let at = frame.writeUInt16BE(topicBytes, 1 + lengthBytes);
  at += frame.write(topic, at);
  if (qos > 0) at = frame.writeUInt16BE(messageId, at);
  return { frame, at };
}

const answers = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70, unsuback: 0xb0 } as const;

export type AckKind = keyof typeof answers;

export function encodeAck(answer: AckKind, messageId: number): Buffer {
  return Buffer.from([answers[answer], 2, messageId >> 8, messageId & 0xff]);
}

/** `codes` are the QoS granted to each filter, or 0x80. */
export function encodeSuback(messageId: number, codes: readonly number[]): Buffer {
  const length = 2 + codes.length;
  const lengthBytes = bytesOfLength(length);
  const frame = Buffer.allocUnsafe(1 + lengthBytes + length);
  frame[0] = 0x90;
  writeLength(frame, length, lengthBytes);
  frame.set(codes, frame.writeUInt16BE(messageId, 1 + lengthBytes));
  return frame;
}

/** A CONNACK that lets nobody in. */
export function encodeRefusal(code: number): Buffer {
  return Buffer.from([0x20, 2, 0, code]);
}

function writeLength(frame: Buffer, length: number, lengthBytes: number): void {
  for (let at = 1, rest = length; at <= lengthBytes; at += 1, rest >>>= 7)
    frame[at] = (rest & 0x7f) | (at < lengthBytes ? 0x80 : 0);
}

function bytesOfLength(length: number): number {
  if (length < 128) return 1;
  if (length < 16_384) return 2;
  return length < 2_097_152 ? 3 : 4;
}
