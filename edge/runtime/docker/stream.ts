import type { Readable } from "node:stream";

/** The lines of a stream, each at most 1 MiB; ends with the stream. */
export async function* readLines(stream: Readable): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, 1 << 20);
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}

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
