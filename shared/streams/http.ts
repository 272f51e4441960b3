import { ProtocolError } from "#shared/errors";
import { encodeBlock, readBlock } from "./block.ts";
import type { ByteStream, StreamHead } from "./byte-stream.ts";
import { freeBytes } from "#shared/bytes";

/** The head of a request, which travels in the head of its stream. */
export interface RequestHead extends StreamHead {
  readonly method: string;
  /** with the query, from the first "/" on */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

type HeaderField = readonly [name: string, value: string];

/** Meant for one connection only (RFC 9110, 7.6.1); lengths are those of the connection as well, since bodies are streams. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The header fields that may be passed on: neither hop-by-hop ones nor those that `connection` names. Names are lower case. */
export function endToEndFields(fields: readonly HeaderField[]): HeaderField[] {
  const named = new Set(
    fields.flatMap(([name, value]) =>
      name === "connection" ? value.split(",").map((one) => one.trim().toLowerCase()) : [],
    ),
  );
  return fields.filter(([name]) => !hopByHop.has(name) && !named.has(name));
}

export function endToEndHeaders(headers: Headers): HeaderField[] {
  return endToEndFields([...headers]);
}

/**
 * Sends the body of a request over a stream that was opened with a `RequestHead` and returns the response as soon as its
 * head is there. Bodies pass through as they come, and their pieces are freed. Cancelling the response's body resets the stream, and so do `signal` and
 * a failure.
 * @throws ClosedError when the stream is reset or the link is lost; ProtocolError when the peer sends no response
 */
export async function fetchOver(
  stream: ByteStream,
  body: ReadableStream<Uint8Array> | null,
  signal?: AbortSignal,
): Promise<Response> {
  const abort = (): void => stream.reset("the request was aborted");
  signal?.addEventListener("abort", abort, { once: true });
  void stream.closed.then(() => signal?.removeEventListener("abort", abort));
  if (signal?.aborted === true) abort();
  // A server may answer before it has read the whole body, or without reading it: the response decides.
  let isSent = false;
  void send(stream, body).then(() => (isSent = true));
  // The rest of a request that is answered already would keep the stream for as long as its sender likes.
  const ended = (): void => {
    if (!isSent) stream.reset("the response ended before the request");
  };
  try {
    return await readResponse(stream, ended);
  } catch (error) {
    stream.reset(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

async function readResponse(stream: ByteStream, ended: () => void): Promise<Response> {
  const { value, rest } = await readBlock(stream.readable, ended);
  const { status, statusText, headers } = responseHead(value);
  const hasBody = status !== 204 && status !== 205 && status !== 304;
  if (!hasBody) void rest.cancel("a response of this status has no body").catch(() => undefined);
  return new Response(hasBody ? rest : null, { status, statusText, headers });
}

/** Answers the request of a stream with what `answer` returns. Never rejects: a failure resets the stream with its message. */
export async function serveOver(
  stream: ByteStream,
  origin: string,
  answer: (request: Request) => Promise<Response>,
): Promise<void> {
  const aborted = new AbortController();
  void stream.closed.then(({ reason }) => {
    if (reason !== undefined) aborted.abort(new Error(reason));
  });
  let response: Response | undefined;
  try {
    const { method, path, headers } = requestHead(stream.head);
    const hasBody = method !== "GET" && method !== "HEAD";
    // Not resolved against the origin: a path may begin with two slashes, and would name a host.
    const request = new Request(`${origin}${path}`, {
      method,
      headers: headers.map(([name, value]): [string, string] => [name, value]),
      body: hasBody ? stream.readable : null,
      signal: aborted.signal,
    });
    response = await answer(request);
    const head: ResponseHead = {
      status: response.status,
      statusText: response.statusText,
      headers: endToEndHeaders(response.headers),
    };
    await writeResponse(stream, head, response.body);
    // What the answer did not need of the request: its sender waits until it is read.
    if (!stream.readable.locked) void discard(stream.readable);
  } catch (error) {
    stream.reset(error instanceof Error ? error.message : String(error));
    // Its source holds a connection and a place for it.
    if (response?.body?.locked === false) void response.body.cancel(error).catch(() => undefined);
  }
}

async function writeResponse(
  stream: ByteStream,
  head: ResponseHead,
  body: ReadableStream<Uint8Array> | null,
): Promise<void> {
  const block = encodeBlock(head);
  const writer = stream.writable.getWriter();
  await writer.write(block);
  if (body) await pass(body, stream, writer);
  await writer.close();
}

async function send(stream: ByteStream, body: ReadableStream<Uint8Array> | null): Promise<void> {
  try {
    const writer = stream.writable.getWriter();
    if (body) await pass(body, stream, writer);
    await writer.close();
  } catch (error) {
    // The stream was reset, or the sender of the body gave up.
    stream.reset(error instanceof Error ? error.message : String(error));
  }
}

/** Writes a body as it comes; its pieces belong to the stream. The source learns when nobody wants the rest. */
async function pass(
  body: ReadableStream<Uint8Array>,
  stream: ByteStream,
  writer: WritableStreamDefaultWriter<Uint8Array>,
): Promise<void> {
  const reader = body.getReader();
  void stream.closed.then(({ reason }) => reader.cancel(reason)).catch(() => undefined);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    await writer.write(value);
    freeBytes(value);
  }
}

async function discard(readable: ReadableStream<Uint8Array>): Promise<void> {
  try {
    for await (const _chunk of readable);
  } catch {
    // The server of the stream sees that it was reset.
  }
}

function requestHead(head: StreamHead): RequestHead {
  const { method, path, headers } = head;
  if (typeof method !== "string" || typeof path !== "string" || !path.startsWith("/") || !isHeaders(headers))
    throw new ProtocolError("bad-request-head", "the head of the stream is not that of an HTTP request");
  return { ...head, method, path, headers };
}

function responseHead(head: unknown): Omit<ResponseHead, "headers"> & { readonly headers: Headers } {
  const bad = new ProtocolError("bad-response-head", "the peer sent no head of an HTTP response");
  if (typeof head !== "object" || head === null) throw bad;
  const { status, statusText, headers } = head as Partial<Record<keyof ResponseHead, unknown>>;
  if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599) throw bad;
  const read = readHeaders(headers);
  if (!read) throw bad;
  // Servers write it as it is: a line break would begin a header (RFC 9112, 4).
  const isText = typeof statusText === "string" && /^[\t -~\u0080-\u00ff]*$/.test(statusText);
  return { status, statusText: isText ? statusText : "", headers: read };
}

function readHeaders(value: unknown): Headers | undefined {
  if (!isHeaders(value)) return undefined;
  try {
    return new Headers(value.map(([name, text]): [string, string] => [name, text]));
  } catch {
    return undefined;
  }
}

function isHeaders(value: unknown): value is ResponseHead["headers"] {
  return (
    Array.isArray(value) &&
    value.every(
      (entry) =>
        Array.isArray(entry) &&
        entry.length === 2 &&
        entry.every((text: unknown) => typeof text === "string"),
    )
  );
}
