import type { Readable } from "node:stream";

/** The lines of a stream; ends with the stream. A line is cut at 1 MiB: Docker's messages are far shorter. */
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
