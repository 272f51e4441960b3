import { ProtocolError } from "#shared/errors";

/**
 * The channels of a process on one stream, numbered as Kubernetes numbers them (`remotecommand`, v5.channel.k8s.io). "close"
 * ends another channel, whose number is its only byte; only stdin is ever closed so.
 */
export const channelNumbers = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

export type ProcessChannel = keyof typeof channelNumbers;

export interface ChannelFrame {
  readonly channel: ProcessChannel;
  readonly bytes: Uint8Array;
}

const headerBytes = 5;
/** Clients send pieces of up to 32 KiB; a resize and a status are far smaller. */
export const largestFrame = 64 * 1024;
const names: ReadonlyMap<number, ProcessChannel> = new Map([
  [channelNumbers.stdin, "stdin"],
  [channelNumbers.stdout, "stdout"],
  [channelNumbers.stderr, "stderr"],
  [channelNumbers.error, "error"],
  [channelNumbers.resize, "resize"],
  [channelNumbers.close, "close"],
]);

/** A frame: the number of the channel, the length in 32 bits, big-endian, and at most 64 KiB. Longer bytes become more of them. */
export function encodeChannel(channel: ProcessChannel, bytes: Uint8Array): Uint8Array {
  const pieces = Math.max(1, Math.ceil(bytes.length / largestFrame));
  const encoded = new Uint8Array(bytes.length + pieces * headerBytes);
  const view = new DataView(encoded.buffer);
  for (let piece = 0; piece < pieces; piece += 1) {
    const part = bytes.subarray(piece * largestFrame, (piece + 1) * largestFrame);
    const start = piece * (largestFrame + headerBytes);
    encoded[start] = channelNumbers[channel];
    view.setUint32(start + 1, part.length);
    encoded.set(part, start + headerBytes);
  }
  return encoded;
}

/** The end of the standard input. */
export function encodeInputEnd(): Uint8Array {
  return encodeChannel("close", Uint8Array.of(channelNumbers.stdin));
}

/**
 * The frames that a peer sends, each whole; ends with the stream. Of channels that are not known nothing is passed on.
 * @throws ProtocolError when a frame is too long or cut; ClosedError when the stream is reset
 */
export async function* readChannels(readable: ReadableStream<Uint8Array>): AsyncGenerator<ChannelFrame> {
  let rest: Uint8Array = new Uint8Array();
  for await (const bytes of readable) {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    for (;;) {
      const size = sizeOf(rest);
      if (size === undefined || rest.length < headerBytes + size) break;
      const channel = names.get(rest[0] ?? -1);
      const payload = rest.subarray(headerBytes, headerBytes + size);
      rest = rest.subarray(headerBytes + size);
      if (channel !== undefined) yield { channel, bytes: payload };
    }
  }
  if (rest.length > 0) throw new ProtocolError("cut-frame", "the stream ended within a frame");
}

function sizeOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < headerBytes) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (size > largestFrame)
    throw new ProtocolError("long-frame", `a frame of ${size} bytes, at most ${largestFrame} are taken`);
  return size;
}
