import type { PodLogsRequest } from "#shared/pod-streams";
import type { LogOptions, OutputChunk } from "#edge/runtime";
import { JoinedWriter } from "./joined-writer.ts";

/** The options of the engine for what is asked; `limitBytes` is counted here. */
export function logOptionsOf(request: PodLogsRequest, nowMs: number): LogOptions {
  const { follow = false, timestamps = false, tailLines, sinceSeconds, sinceTime, source } = request;
  const sinceMs = sinceTime === undefined ? undefined : Date.parse(sinceTime);
  const since = sinceSeconds === undefined ? sinceMs : nowMs - sinceSeconds * 1000;
  return {
    follow,
    timestamps,
    ...(tailLines !== undefined && { tailLines }),
    // A time before 1970 is none.
    ...(since !== undefined && { sinceMs: Math.max(0, since) }),
    ...(source && { source }),
  };
}

/** Sends a log to its end, or so many bytes of it, and ends the stream. */
export async function sendLog(
  output: AsyncIterable<OutputChunk>,
  writable: WritableStream<Uint8Array>,
  limitBytes = Infinity,
): Promise<void> {
  const writer = new JoinedWriter(writable.getWriter());
  let left = limitBytes;
  for await (const { bytes } of output) {
    const part = bytes.length > left ? bytes.subarray(0, left) : bytes;
    left -= part.length;
    await writer.write(part);
    if (left === 0) break;
  }
  await writer.close();
}
