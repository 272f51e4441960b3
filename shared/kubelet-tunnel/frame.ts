import { ProtocolError } from "#shared/errors";

/** Types of messages in KubeEdge's tunnel (`pkg/stream/message.go`). A node that gets a type that it does not know ends. */
export const tunnelTypes = {
  logs: 0,
  /** A connection to the node's kubelet whose bytes pass as they are, whatever is asked of it. */
  exec: 1,
  metrics: 2,
  data: 3,
  /** The end of a connection. */
  remove: 4,
  /** The end of the tunnel, with its reason. */
  close: 5,
  attach: 6,
} as const;

export interface TunnelFrame {
  /** Of the connection; the cloud numbers them. */
  readonly id: number;
  readonly type: number;
  readonly bytes: Uint8Array;
}

export function encodeTunnelFrame(
  id: number,
  type: number,
  bytes: Uint8Array = new Uint8Array(),
): Uint8Array {
  const head = [...varint(id), ...varint(type)];
  const frame = new Uint8Array(head.length + bytes.length);
  frame.set(head);
  frame.set(bytes, head.length);
  return frame;
}

/** @throws ProtocolError when it is cut, or a number in it is too large */
export function readTunnelFrame(frame: Uint8Array): TunnelFrame {
  const id = readVarint(frame, 0);
  const type = readVarint(frame, id.end);
  return { id: id.value, type: type.value, bytes: frame.subarray(type.end) };
}

/** Go's `binary.PutUvarint`: seven bits a byte, the lowest first. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return [...bytes, rest];
}

function readVarint(frame: Uint8Array, start: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let factor = 1;
  for (let at = start; at < frame.length; at += 1) {
    const byte = frame[at] ?? 0;
    value += (byte & 0x7f) * factor;
    if (!Number.isSafeInteger(value))
      throw new ProtocolError("large-number", "a number of more than 53 bits");
    if (byte < 0x80) return { value, end: at + 1 };
    factor *= 0x80;
  }
  throw new ProtocolError("cut-frame", "a frame of the tunnel that is cut");
}
