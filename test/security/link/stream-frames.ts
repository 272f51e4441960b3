/** A frame as a peer that breaks the rules would send it. */
export function frame(
  type: "open" | "data" | "credit" | "end" | "reset",
  id: number,
  payload?: Uint8Array | string,
): Buffer {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : (payload ?? new Uint8Array());
  const header = Buffer.alloc(5);
  header[0] = ["open", "data", "credit", "end", "reset"].indexOf(type) + 1;
  header.writeUInt32BE(id, 1);
  return Buffer.concat([header, bytes]);
}

/** An `open` frame. */
export const open = (id: number, fields: object = {}): Buffer =>
  frame("open", id, JSON.stringify({ service: "x", ...fields }));

export function credit(id: number, bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frame("credit", id, payload);
}
