import { grpcCodes, GrpcError } from "./status.ts";

/** As kubelet's `maxMsgSize`. */
export const mostBytes = 16 * 1024 * 1024;
const prefixBytes = 5;

/** Each message has a prefix: whether it is compressed, and its length in 32 bits, big-endian. @throws GrpcError */
export async function* messagesOf(
  stream: AsyncIterable<Uint8Array>,
  limitBytes = mostBytes,
): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let wanted = prefixBytes;
  for await (const bytes of stream) {
    parts.push(bytes);
    length += bytes.length;
    if (length < wanted) continue;
    let rest = parts.length === 1 ? bytes : Buffer.concat(parts);
    for (;;) {
      wanted = prefixBytes + (sizeOf(rest, limitBytes) ?? 0);
      if (rest.length < wanted) break;
      yield rest.subarray(prefixBytes, wanted);
      rest = rest.subarray(wanted);
    }
    parts = rest.length === 0 ? [] : [rest];
    length = rest.length;
  }
}

export function withPrefix(message: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(prefixBytes + message.length);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, prefixBytes);
  return bytes;
}

function sizeOf(bytes: Uint8Array, limitBytes: number): number | undefined {
  if (bytes.length < prefixBytes) return undefined;
  const size = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  if (bytes[0] !== 0)
    throw new GrpcError(grpcCodes.unimplemented, "a compressed message, which is not read here");
  if (size > limitBytes)
    throw new GrpcError(grpcCodes.internal, `a message of ${size} bytes, at most ${limitBytes} are taken`);
  return size;
}
