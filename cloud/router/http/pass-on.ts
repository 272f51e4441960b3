import type { ServerResponse } from "node:http";
import type { Clock } from "#shared/clock";
import { freeBytes } from "#shared/bytes";
import { endToEndHeaders } from "#shared/streams";
import { lengthOf } from "./request-body.ts";

/** A client that takes nothing for so long is gone; as shared/connections has it. */
const stallMs = 120_000;

/**
 * Passes a response of a node on as it comes. A node that sends more or less than it announced would put its bytes in front of
 * the next response: the connection is cut then.
 * @returns whether all of it was passed on
 */
export async function passOn(answer: Response, response: ServerResponse, clock: Clock): Promise<boolean> {
  const announced = lengthOf(answer.headers.get("content-length"));
  writeHead(answer, response, announced);
  if (isBare(answer, response)) {
    void answer.body?.cancel("the response has no body").catch(() => undefined);
    response.end();
    return true;
  }
  response.flushHeaders();
  const sent = await copy(answer.body, response, { clock, most: announced ?? Infinity });
  const isWhole = sent !== undefined && (announced === undefined || sent === announced);
  if (isWhole) response.end();
  else response.destroy();
  return isWhole;
}

/** `HEAD`, and what has no body by its status. */
function isBare({ status, body }: Response, { req }: ServerResponse): boolean {
  return req.method === "HEAD" || body === null || [204, 205, 304].includes(status);
}

function writeHead(answer: Response, response: ServerResponse, announced: number | undefined): void {
  const hasLength = announced !== undefined && (response.req.method === "HEAD" || !isBare(answer, response));
  response.statusCode = answer.status;
  for (const [name, value] of endToEndHeaders(answer.headers))
    if (name !== "content-length" || hasLength) response.appendHeader(name, value);
}

/** @returns the bytes that were sent; undefined when the client does not take them, or there are more than `most` */
async function copy(
  body: ReadableStream<Uint8Array> | null,
  response: ServerResponse,
  { clock, most }: { readonly clock: Clock; readonly most: number },
): Promise<number | undefined> {
  let sent = 0;
  if (!body) return sent;
  for await (const chunk of body) {
    sent += chunk.length;
    if (sent > most || response.destroyed) return undefined;
    const hasRoom = response.write(chunk, () => freeBytes(chunk));
    if (!hasRoom && !(await drained(response, clock))) return undefined;
  }
  return response.destroyed ? undefined : sent;
}

async function drained(response: ServerResponse, clock: Clock): Promise<boolean> {
  const settled = Promise.withResolvers<boolean>();
  const onDrain = (): void => settled.resolve(true);
  const onClose = (): void => settled.resolve(false);
  response.once("drain", onDrain);
  response.once("close", onClose);
  using _timer = clock.after(stallMs, onClose);
  try {
    return await settled.promise;
  } finally {
    response.off("drain", onDrain);
    response.off("close", onClose);
  }
}
