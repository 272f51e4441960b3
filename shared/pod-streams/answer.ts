import { asRecord, asText } from "#shared/json";
import { readBlock, type ByteStream } from "#shared/streams";
import { PodRefusal, refusePod } from "./refusal.ts";

/**
 * Waits for the answer to a stream that was opened with `podStreamHead`: at once when the request is served, however long the
 * pod then says nothing. Aborting resets the stream. Once all that the node sent was read the stream is over: what is still
 * written for a process that has ended is of no use. A connection to a port goes on until both directions have ended.
 * @returns what the node sends
 * @throws PodRefusal when the node refuses, or is lost before it has answered
 */
export async function askPod(stream: ByteStream, signal?: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const abort = (): void => stream.reset("the caller has gone");
  signal?.addEventListener("abort", abort, { once: true });
  void stream.closed.then(() => signal?.removeEventListener("abort", abort));
  if (signal?.aborted === true) abort();
  const isConnection = asRecord(stream.head["request"])?.["kind"] === "port-forward";
  const ended = (): void => stream.reset("the node has ended the stream");
  const { value, rest } = await answerOf(stream, isConnection ? undefined : ended);
  const status = asRecord(value);
  if (status?.["status"] === "Success") return rest;
  stream.reset("the request was refused");
  const { code, reason, message } = status ?? {};
  if (typeof code !== "number" || code < 400 || code > 599)
    throw refusePod.internal("the node sent no valid answer");
  throw new PodRefusal(code, asText(reason), asText(message));
}

async function answerOf(stream: ByteStream, ended?: () => void): ReturnType<typeof readBlock> {
  try {
    return await readBlock(stream.readable, ended);
  } catch {
    stream.reset("the node sent no answer");
    const { reason = "it sent no answer" } = await stream.closed;
    throw refusePod.timeout(`the node cannot be asked: ${reason}`);
  }
}
