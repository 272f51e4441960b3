import { ProtocolError } from "#shared/errors";

/** In bytes; as large as the head of a stream. */
export const longestBlock = 64 * 1024;

/**
 * A JSON value with which the bytes of a stream begin: its length in 32 bits, big-endian, and the text.
 * @throws ProtocolError when it is longer than 64 KiB
 */
export function encodeBlock(value: unknown): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(value));
  if (text.length > longestBlock)
    throw new ProtocolError("block-too-long", "the head of an answer is too long");
  const block = new Uint8Array(4 + text.length);
  new DataView(block.buffer).setUint32(0, text.length);
  block.set(text, 4);
  return block;
}

/**
 * Reads the block with which a stream begins; `rest` is what follows it.
 * @param ended called when `rest` was read to its end
 * @throws ProtocolError when there is none; whatever the stream fails with
 */
export async function readBlock(
  readable: ReadableStream<Uint8Array>,
  ended?: () => void,
): Promise<{ readonly value: unknown; readonly rest: ReadableStream<Uint8Array> }> {
  const reader = readable.getReader();
  const read = await nextBlock(reader, new Uint8Array());
  if (!read) throw new ProtocolError("no-response", "the stream ended without a response");
  return { value: read.value, rest: remaining(reader, read.rest, ended) };
}

/**
 * The blocks of a stream that consists of them, until it ends. Returning early cancels the stream.
 * @throws ProtocolError when one is too long; whatever the stream fails with
 */
export async function* readBlocks(readable: ReadableStream<Uint8Array>): AsyncGenerator {
  const reader = readable.getReader();
  try {
    let read = await nextBlock(reader, new Uint8Array());
    while (read) {
      yield read.value;
      read = await nextBlock(reader, read.rest);
    }
  } finally {
    await reader.cancel();
  }
}

/** @param begun bytes that were read already @returns undefined when the stream ends before a whole block */
async function nextBlock(
  reader: BytesReader,
  begun: Uint8Array,
): Promise<{ readonly value: unknown; readonly rest: Uint8Array } | undefined> {
  let bytes = begun;
  const has = async (size: number): Promise<boolean> => {
    while (bytes.length < size) {
      const { done, value } = await reader.read();
      if (done || !value) return false;
      bytes = bytes.length === 0 ? value : Buffer.concat([bytes, value]);
    }
    return true;
  };
  if (!(await has(4))) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
  if (size > longestBlock) throw new ProtocolError("block-too-long", "the head of an answer is too long");
  if (!(await has(4 + size))) return undefined;
  return { value: parse(bytes.subarray(4, 4 + size)), rest: bytes.subarray(4 + size) };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

interface BytesReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
  cancel(reason?: unknown): Promise<void>;
}

function remaining(
  reader: BytesReader,
  first: Uint8Array,
  ended: (() => void) | undefined,
): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        if (first.length > 0) controller.enqueue(first);
      },
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (value) controller.enqueue(value);
        if (!done) return;
        controller.close();
        ended?.();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
