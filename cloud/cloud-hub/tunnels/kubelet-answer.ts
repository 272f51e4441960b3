import { ProtocolError } from "#shared/errors";

/** The answer of a kubelet on a connection whose bytes are HTTP/1.1. */
export interface KubeletAnswer {
  readonly status: number;
  /** Names are in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** What follows the head, as it is. */
  readonly rest: ReadableStream<Uint8Array>;
}

/** A kubelet sends a handful of headers. */
const largestHead = 16 * 1024;
/** A chunk of Go's server has 4 KiB, and its first line a number and no extension. */
const longestChunkLine = 64;

/** Reads the head of the answer. @throws ProtocolError when there is none; whatever the connection fails with */
export async function readKubeletAnswer(readable: ReadableStream<Uint8Array>): Promise<KubeletAnswer> {
  const bytes = new BytesReader(readable);
  const head = await bytes.until("\r\n\r\n", largestHead);
  const [first = "", ...lines] = head.split("\r\n");
  const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]);
  if (!(status >= 101)) throw new ProtocolError("bad-answer", "the kubelet of the node sent no HTTP answer");
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, Math.max(0, colon)).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status, headers: new Map(fields), rest: bytes.rest() };
}

/** The body of an answer, out of its chunks. It errors when the connection ends before the body does. */
export function bodyOf({ headers, rest }: KubeletAnswer): ReadableStream<Uint8Array> {
  if (headers.get("transfer-encoding")?.toLowerCase() === "chunked") return streamOf(chunksOf(rest));
  const length = headers.get("content-length");
  return length === undefined ? rest : streamOf(exactly(rest, Number(length)));
}

async function* exactly(readable: ReadableStream<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  const bytes = new BytesReader(readable);
  try {
    yield* bytes.take(length);
  } finally {
    bytes.cancel();
  }
}

async function* chunksOf(readable: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bytes = new BytesReader(readable);
  try {
    for (;;) {
      const size = Number.parseInt(await bytes.until("\r\n", longestChunkLine), 16);
      if (!(size >= 0))
        throw new ProtocolError("bad-chunk", "the kubelet of the node sent a chunk without a size");
      if (size === 0) return;
      yield* bytes.take(size);
      await bytes.until("\r\n", longestChunkLine);
    }
  } finally {
    bytes.cancel();
  }
}

function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await pieces.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      cancel: async () => void (await pieces.return(undefined)),
    },
    { highWaterMark: 0 },
  );
}

/** Reads a stream by what is wanted of it. */
class BytesReader {
  readonly #reader;
  #held: Uint8Array = new Uint8Array();

  constructor(readable: ReadableStream<Uint8Array>) {
    this.#reader = readable.getReader();
  }

  /** The text before an end, which is taken too. @throws ProtocolError when it does not come within so many bytes */
  async until(end: string, most: number): Promise<string> {
    for (;;) {
      const at = Buffer.from(this.#held.buffer, this.#held.byteOffset, this.#held.length).indexOf(end);
      if (at >= 0 && at <= most) {
        const text = new TextDecoder().decode(this.#held.subarray(0, at));
        this.#held = this.#held.subarray(at + end.length);
        return text;
      }
      if (this.#held.length > most + end.length)
        throw new ProtocolError("long-answer", "the kubelet of the node sent a line that is too long");
      await this.#more();
    }
  }

  /** The next bytes, so many, as they come. */
  async *take(size: number): AsyncGenerator<Uint8Array> {
    for (let left = size; left > 0;) {
      if (this.#held.length === 0) await this.#more();
      const piece = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  /** What was not taken. */
  rest(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          if (this.#held.length > 0) controller.enqueue(this.#held);
        },
        pull: async (controller) => {
          const { done, value } = await this.#reader.read();
          if (value) controller.enqueue(value);
          if (done) controller.close();
        },
        cancel: () => this.cancel(),
      },
      { highWaterMark: 0 },
    );
  }

  cancel(): void {
    this.#reader.cancel().catch(() => undefined);
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#reader.read();
    if (done || !value)
      throw new ProtocolError("cut-answer", "the kubelet of the node ended its answer early");
    this.#held = this.#held.length === 0 ? value : Buffer.concat([this.#held, value]);
  }
}
