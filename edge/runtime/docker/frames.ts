import type { OutputChunk } from "#edge/runtime";

const headerBytes = 8;

/**
 * The output in Docker's multiplexed stream: frames of a header (stream 1 or 2, three zeros, length as uint32) and as
 * many bytes. Parts of a frame are passed on as they arrive, so that nothing is held.
 */
export async function* demultiplex(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  const header = Buffer.alloc(headerBytes);
  let filled = 0;
  let left = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    while (rest.length > 0) {
      const part = rest.subarray(0, left === 0 ? headerBytes - filled : left);
      rest = rest.subarray(part.length);
      if (left === 0) {
        header.set(part, filled);
        filled = (filled + part.length) % headerBytes;
        left = filled === 0 ? header.readUInt32BE(4) : 0;
      } else {
        left -= part.length;
        yield { stream: header[0] === 2 ? "stderr" : "stdout", bytes: part };
      }
    }
  }
}

/** What a tty writes has no frames. */
export async function* plainOutput(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  for await (const bytes of chunks) yield { stream: "stdout", bytes };
}
