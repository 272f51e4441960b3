import { isRecord } from "#shared/json";
import type { StreamHead } from "./byte-stream.ts";

/**
 * A binary frame: one byte of type, the id of the stream (32 bits, big-endian), the payload.
 *
 * | type | payload                        | meaning                                             |
 * | ---- | ------------------------------ | --------------------------------------------------- |
 * | 1    | the head as JSON               | open a stream; its id is even if the cloud opens it |
 * | 2    | bytes                          | data, within the credit of the receiver             |
 * | 3    | bytes, 32 bits, big-endian     | so much more may be sent                            |
 * | 4    | none                           | no more data follows                                |
 * | 5    | the reason as text             | the stream is over, in both directions              |
 * | 6    | bytes, 32 bits, big-endian     | so much data arrived on all streams; the id is 0    |
 */
export type StreamFrame =
  | { readonly type: "open"; readonly id: number; readonly head: StreamHead }
  | { readonly type: "data"; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: "credit"; readonly id: number; readonly bytes: number }
  | { readonly type: "end"; readonly id: number }
  | { readonly type: "reset"; readonly id: number; readonly reason: string }
  | { readonly type: "received"; readonly id: 0; readonly bytes: number };

const types = { open: 1, data: 2, credit: 3, end: 4, reset: 5, received: 6 } as const;
const headerBytes = 5;
/** HTTP servers allow 16 to 64 KiB for the head of a request, which travels in it. */
export const longestHead = 64 * 1024;
const longestReason = 1024;

/** @throws RangeError when the head is longer than 64 KiB */
export function encodeFrame(frame: StreamFrame): Uint8Array {
  const payload = payloadOf(frame);
  if (frame.type === "open" && payload.length > longestHead)
    throw new RangeError(`the head of a stream has ${payload.length} bytes, at most ${longestHead}`);
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes[0] = types[frame.type];
  new DataView(bytes.buffer).setUint32(1, frame.id);
  bytes.set(payload, headerBytes);
  return bytes;
}

function payloadOf(frame: StreamFrame): Uint8Array {
  switch (frame.type) {
    case "open":
      return new TextEncoder().encode(JSON.stringify(frame.head));
    case "data":
      return frame.bytes;
    case "credit":
    case "received": {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setUint32(0, frame.bytes);
      return bytes;
    }
    case "end":
      return new Uint8Array();
    case "reset":
      return new TextEncoder().encode(frame.reason.slice(0, longestReason));
  }
}

/** @returns undefined for what is no frame; peers are not trusted */
export function decodeFrame(bytes: Uint8Array): StreamFrame | undefined {
  if (bytes.length < headerBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const id = view.getUint32(1);
  const payload = bytes.subarray(headerBytes);
  const [type] = bytes;
  switch (type) {
    case types.open: {
      const head = payload.length > longestHead ? undefined : readHead(payload);
      return head && { type: "open", id, head };
    }
    case types.data:
      return { type: "data", id, bytes: payload };
    case types.credit:
    case types.received:
      return payload.length === 4 ? countFrame(type, id, view.getUint32(headerBytes)) : undefined;
    case types.end:
      return { type: "end", id };
    case types.reset:
      return { type: "reset", id, reason: new TextDecoder().decode(payload.subarray(0, 4 * longestReason)) };
    case undefined:
    default:
      return undefined;
  }
}

function countFrame(type: 3 | 6, id: number, bytes: number): StreamFrame | undefined {
  if (type === types.credit) return { type: "credit", id, bytes };
  return id === 0 ? { type: "received", id, bytes } : undefined;
}

function readHead(payload: Uint8Array): StreamHead | undefined {
  try {
    const head: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
    return isHead(head) ? head : undefined;
  } catch {
    return undefined;
  }
}

function isHead(value: unknown): value is StreamHead {
  return isRecord(value) && typeof value["service"] === "string";
}
