import { createReadStream } from "node:fs";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { dockerEndOf, mayBeLayout } from "./oci-layout.ts";

/** The bytes of an archive as any engine reads them: Docker before 23 knows no zstd, and before 25 no OCI layout. */
export async function* readArchive(path: string): AsyncGenerator<Uint8Array> {
  const end = await findDockerEnd(path);
  if (!end) {
    yield* path.endsWith("zst") ? unpack(path) : readFile(path);
    return;
  }
  let left = end.at;
  for await (const chunk of unpack(path)) {
    if (left > 0) yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) break;
  }
  yield end.bytes;
}

async function findDockerEnd(path: string): ReturnType<typeof dockerEndOf> {
  if (/\.(xz|bz2)$/.test(path)) return undefined;
  try {
    for await (const chunk of unpack(path)) {
      if (!mayBeLayout(chunk)) return undefined;
      break;
    }
    return await dockerEndOf(unpack(path), process.arch === "x64" ? "amd64" : process.arch);
  } catch {
    // It cannot be unpacked: the engine says so with its own reason.
    return undefined;
  }
}

/** The tar archive in a file. */
function unpack(path: string): AsyncGenerator<Uint8Array> {
  if (path.endsWith("zst")) return readFile(path, createZstdDecompress());
  return readFile(path, /\.t?gz$/.test(path) ? createGunzip() : undefined);
}

async function* readFile(
  path: string,
  transform?: ReturnType<typeof createGunzip | typeof createZstdDecompress>,
): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path);
  const bytes = transform ? file.pipe(transform) : file;
  file.on("error", (error) => bytes.destroy(error));
  try {
    const chunks: AsyncIterable<Uint8Array> = bytes;
    yield* chunks;
  } finally {
    file.destroy();
    bytes.destroy();
  }
}
