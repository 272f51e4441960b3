import { ServiceFailure } from "./failure.ts";

type Bytes = ReadableStream<Uint8Array>;

export interface CountedBodyOptions {
  readonly limitBytes: number;
  /** Called for each piece that is passed on. */
  readonly onPiece: () => void;
  /** The limit is exceeded; the body ends with an error. */
  readonly onTooLarge: (failure: ServiceFailure) => void;
}

/** A request body that ends when it gets too large. A reader that stops leaves the rest in the source. */
export function countedBody(source: Bytes, { limitBytes, onPiece, onTooLarge }: CountedBodyOptions): Bytes {
  const reader = source.getReader();
  let bytes = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (done) {
          controller.close();
          return;
        }
        bytes += value.length;
        if (bytes > limitBytes) {
          const failure = tooLarge(limitBytes);
          onTooLarge(failure);
          controller.error(failure);
          reader.releaseLock();
          return;
        }
        onPiece();
        controller.enqueue(value);
      },
      cancel: () => reader.releaseLock(),
    },
    { highWaterMark: 0 },
  );
}

export function tooLarge(limitBytes: number): ServiceFailure {
  return new ServiceFailure("body-too-large", `the body is larger than ${limitBytes} bytes`);
}

/** A body that calls `over` once, when it has ended, failed or was cancelled. */
export function watchedBody(source: Bytes, over: () => void): Bytes {
  const reader = source.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            controller.enqueue(value);
            return;
          }
          over();
          controller.close();
        } catch (error) {
          over();
          throw error;
        }
      },
      cancel: (reason) => {
        over();
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** @throws ServiceFailure when there is more than that */
export async function wholeBody(source: Bytes | null, limitBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of source ?? []) {
    bytes += piece.length;
    if (bytes > limitBytes)
      throw new ServiceFailure(
        "response-too-large",
        `the response is larger than the ${limitBytes} bytes that fit into a message`,
      );
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
