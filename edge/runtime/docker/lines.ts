import { Readable } from "node:stream";
import { BugError } from "#shared/errors";

/** What dockerode returns as a stream is the response of `node:http`; its types leave out most of it. */
export function asReadable(stream: unknown): Readable {
  if (stream instanceof Readable) return stream;
  throw new BugError("dockerode returned something else than a stream");
}

/** The lines of a stream; ends with the stream. A line is cut at 1 MiB: Docker's messages are far shorter. */
export async function* readLines(stream: Readable): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  const chunks: AsyncIterable<Uint8Array> = stream;
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = (lines.pop() ?? "").slice(0, 1 << 20);
    for (const line of lines) if (line.trim() !== "") yield line;
  }
  if (rest.trim() !== "") yield rest;
}
