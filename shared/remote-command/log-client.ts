import { describeError } from "#shared/errors";
import { sendFrame } from "#shared/upgrades";
import type { FrameTransport } from "#shared/transport";

/** A close frame takes 123 bytes of a reason; a character of UTF-8 may be four of them. */
const longestReason = 30;
const normalClosure = 1000;
const internalError = 1011;

/** Sends a log in the messages of a WebSocket, at the pace of its reader, and closes it. Never rejects. */
export async function sendLog(
  transport: FrameTransport,
  log: ReadableStream<Uint8Array>,
  isBase64: boolean,
): Promise<void> {
  const reader = log.getReader();
  // What a reader of a log says has no meaning.
  transport.listen({ onText: () => undefined, onBinary: () => undefined, onError: () => undefined });
  void transport.closed.then(() => reader.cancel("the client has gone")).catch(() => undefined);
  const encode = (bytes: Uint8Array): string | Uint8Array =>
    isBase64 ? Buffer.from(bytes).toString("base64") : bytes;
  try {
    // Upstream begins with an empty message.
    await sendFrame(transport, encode(new Uint8Array()));
    for (let read = await reader.read(); !read.done; read = await reader.read())
      await sendFrame(transport, encode(read.value));
    transport.close(normalClosure, "");
  } catch (error) {
    await reader.cancel("the client has gone").catch(() => undefined);
    if (transport.isOpen) transport.close(internalError, describeError(error).slice(0, longestReason));
  }
}
