/** Smaller ones cost less than an immediate release. */
const worthBytes = 8 * 1024;

/**
 * Gives memory back at once: the collector lets tens of MiB of read and forgotten pieces add up before it runs. The bytes
 * are empty afterwards, so that nobody else may hold them. A part of a larger buffer is left alone.
 */
export function freeBytes({ buffer, byteLength }: Uint8Array): void {
  const isWhole = byteLength === buffer.byteLength && buffer instanceof ArrayBuffer;
  if (isWhole && byteLength >= worthBytes) buffer.transfer(0);
}
