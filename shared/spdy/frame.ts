/** Control frames of SPDY/3.1 by type (draft-mbelshe-httpbis-spdy-00, 2.6). */
export const frameTypes = {
  synStream: 1,
  synReply: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Status codes of RST_STREAM (2.6.3). */
export const resetCodes = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
} as const;

/** This is the last frame of the stream in its direction. */
export const flagFin = 1;

export interface ControlFrame {
  readonly kind: "control";
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** A piece of a DATA frame: long ones are not collected. `isFin` is set on the last piece of the last one. */
export interface DataPiece {
  readonly kind: "data";
  readonly id: number;
  readonly isFin: boolean;
  readonly bytes: Uint8Array;
}

export type SpdyFrame = ControlFrame | DataPiece;

export const headBytes = 8;
const version = 3;

export function encodeControl(type: number, payload: Uint8Array, flags = 0): Uint8Array {
  const frame = new Uint8Array(headBytes + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint16(0, 0x80_00 | version);
  view.setUint16(2, type);
  view.setUint32(4, (flags << 24) | payload.length);
  frame.set(payload, headBytes);
  return frame;
}

/** The largest that a length of 24 bits allows is never reached: what is sent comes in pieces. */
export function encodeData(id: number, bytes: Uint8Array, isFin = false): Uint8Array {
  const frame = new Uint8Array(headBytes + bytes.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, id);
  view.setUint32(4, ((isFin ? flagFin : 0) << 24) | bytes.length);
  frame.set(bytes, headBytes);
  return frame;
}

/** A payload of 32-bit numbers. */
export function numbers(...values: readonly number[]): Uint8Array {
  const payload = new Uint8Array(4 * values.length);
  const view = new DataView(payload.buffer);
  for (const [at, value] of values.entries()) view.setUint32(4 * at, value);
  return payload;
}

/** The number at an offset; 0 where the payload is too short. */
export function numberAt(payload: Uint8Array, offset: number): number {
  if (payload.length < offset + 4) return 0;
  return new DataView(payload.buffer, payload.byteOffset).getUint32(offset);
}

/** A stream id: 31 bits. */
export function idAt(payload: Uint8Array, offset = 0): number {
  return numberAt(payload, offset) & 0x7f_ff_ff_ff;
}
