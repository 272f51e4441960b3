import type { Readable } from "node:stream";

/** Payload of Docker's multiplexed stream (8-byte frame headers), cut at `maxBytes`; reads to the end. */
export async function readMultiplexed(stream: Readable, maxBytes: number): Promise<string> {
  const kept: Buffer[] = [];
  let size = 0;
  let pending = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      const length = pending.length >= 8 ? pending.readUInt32BE(4) : Infinity;
      if (pending.length < 8 + length) break;
      const payload = pending.subarray(8, 8 + Math.min(length, Math.max(0, maxBytes - size)));
      kept.push(Buffer.from(payload));
      size += payload.length;
      pending = pending.subarray(8 + length);
    }
  }
  return Buffer.concat(kept).toString();
}
