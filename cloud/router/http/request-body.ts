import type { IncomingMessage } from "node:http";
import type { Clock } from "#shared/clock";
import type { EntryProblem } from "./reply.ts";

/** A body was longer than allowed, or its client stopped sending. */
export class BodyError extends Error {
  readonly problem: EntryProblem;

  constructor(problem: EntryProblem) {
    super(problem.reason);
    this.problem = problem;
  }
}

/** A client that sends nothing for so long in the midst of a body. */
const silentMs = 60_000;
/** For the rest of a body that nobody wants: its client reads the response while it sends, or after. */
const lingerMs = 10_000;

/** The body of a request as it comes. Errors with BodyError. @returns null when there is none */
export function bodyOf(
  request: IncomingMessage,
  { mostBytes, clock }: { readonly mostBytes: number; readonly clock: Clock },
): ReadableStream<Uint8Array> | null {
  if (!hasBody(request)) return null;
  const chunks: AsyncIterator<Uint8Array> = request[Symbol.asyncIterator]();
  let bytes = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const { done, value } = await nextChunk(chunks, clock);
        if (done === true) return controller.close();
        bytes += value.length;
        if (bytes > mostBytes) throw new BodyError(tooLarge(mostBytes));
        controller.enqueue(value);
      },
      cancel: () => void discard(request, chunks, clock),
    },
    { highWaterMark: 0 },
  );
}

/** @throws BodyError */
export async function wholeBodyOf(
  request: IncomingMessage,
  options: { readonly mostBytes: number; readonly clock: Clock },
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const body = bodyOf(request, options);
  if (body) for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

export function tooLarge(mostBytes: number): EntryProblem {
  return { status: 413, code: "body-too-large", reason: `the body is longer than ${mostBytes} bytes` };
}

/** Known before the body is read. */
export function announcedTooLarge(request: IncomingMessage, mostBytes: number): boolean {
  return (lengthOf(request.headers["content-length"] ?? null) ?? 0) > mostBytes;
}

function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

export function lengthOf(text: string | null): number | undefined {
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

async function nextChunk(
  chunks: AsyncIterator<Uint8Array>,
  clock: Clock,
): Promise<IteratorResult<Uint8Array, unknown>> {
  const late = Promise.withResolvers<never>();
  using _timer = clock.after(silentMs, () =>
    late.reject(
      new BodyError({ status: 408, code: "body-too-slow", reason: "the body did not arrive in time" }),
    ),
  );
  return await Promise.race([chunks.next(), late.promise]);
}

/**
 * Reads what a server that has answered did not want. A connection that ends with unread data resets, and the client
 * loses the response.
 */
async function discard(
  request: IncomingMessage,
  chunks: AsyncIterator<Uint8Array>,
  clock: Clock,
): Promise<void> {
  using _timer = clock.after(lingerMs, () => request.destroy());
  try {
    while ((await chunks.next()).done !== true);
  } catch {
    // The client disconnected, or took too long.
  }
}
