import { isUtf8 } from "node:buffer";

/** A payload as KubeEdge's messages have it, as text. */
export interface TextPayload {
  readonly text: string;
  /** The payload as it is, when it is no UTF-8: the text is what remains of it. */
  readonly bytes?: Uint8Array;
}

export function textPayload(payload: Uint8Array): TextPayload {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8");
  return isUtf8(payload) ? { text } : { text, bytes: payload };
}
