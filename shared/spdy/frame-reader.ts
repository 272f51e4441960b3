import { ProtocolError } from "#shared/errors";
import { flagFin, headBytes, type SpdyFrame } from "./frame.ts";

/** Of a control frame: a header block takes a few hundred bytes, and inflates to a thousand times as much at most. */
const largestControl = 16 * 1024;

interface Head {
  readonly isControl: boolean;
  readonly first: number;
  readonly flags: number;
  /** Bytes of the payload that have not come yet. */
  left: number;
}

/** Cuts bytes into frames. Of a DATA frame each piece is reported as it comes. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array();
  #data: Head | undefined;

  /** @throws ProtocolError when a frame is of another version, or too long */
  *read(bytes: Uint8Array): Generator<SpdyFrame> {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (let frame = this.#next(); frame; frame = this.#next()) yield frame;
    // A copy: the bytes belong to the connection.
    this.#rest = new Uint8Array(this.#rest);
  }

  #next(): SpdyFrame | undefined {
    if (this.#data) return this.#rest.length === 0 ? undefined : this.#takeData(this.#data);
    const head = headOf(this.#rest);
    if (!head || (head.isControl && this.#rest.length < headBytes + head.left)) return undefined;
    this.#take(headBytes);
    if (head.isControl) return controlOf(head, this.#take(head.left));
    this.#data = head;
    return this.#rest.length === 0 && head.left > 0 ? undefined : this.#takeData(head);
  }

  #takeData(head: Head): SpdyFrame {
    const piece = this.#take(head.left);
    head.left -= piece.length;
    this.#data = head.left === 0 ? undefined : head;
    return {
      kind: "data",
      id: head.first,
      isFin: head.left === 0 && (head.flags & flagFin) !== 0,
      bytes: piece,
    };
  }

  #take(size: number): Uint8Array {
    const taken = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }
}

function headOf(bytes: Uint8Array): Head | undefined {
  if (bytes.length < headBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const first = view.getUint32(0);
  const isControl = first >>> 31 === 1;
  const left = view.getUint32(4) & 0xff_ff_ff;
  if (isControl && first >>> 16 !== 0x80_03)
    throw new ProtocolError("bad-version", "expected a frame of SPDY/3.1");
  if (isControl && left > largestControl)
    throw new ProtocolError(
      "long-frame",
      `a control frame of ${left} bytes, at most ${largestControl} are taken`,
    );
  return { isControl, first, flags: view.getUint8(4), left };
}

function controlOf({ first, flags }: Head, payload: Uint8Array): SpdyFrame {
  return { kind: "control", type: first & 0xff_ff, flags, payload };
}
