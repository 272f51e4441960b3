import { open } from "node:fs/promises";
import type { LogFile } from "./files.ts";

export interface TailStart {
  readonly file: LogFile;
  readonly offset: number;
}

const blockBytes = 64 * 1024;
const lineFeed = 0x0a;

/**
 * Where the last lines of a log begin, as kubelet's `FindTailLineStartIndex`, over all files of it, the oldest first. Parts of a
 * long line count as one each.
 * @returns undefined when there is no file
 */
export async function findTail(files: readonly LogFile[], lines: number): Promise<TailStart | undefined> {
  let left = lines;
  for (const file of files.toReversed()) {
    const found = await findInFile(file, left);
    if (found.offset !== undefined) return { file, offset: found.offset };
    left -= found.lines;
  }
  const [first] = files;
  return first && { file: first, offset: 0 };
}

/** @returns the offset of the last so many lines, or how many there are when these are fewer */
async function findInFile(
  { path, size }: LogFile,
  wanted: number,
): Promise<{ readonly offset?: number; readonly lines: number }> {
  await using handle = await open(path, "r");
  const block = Buffer.allocUnsafe(blockBytes);
  let lines = -1;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - blockBytes);
    const { bytesRead } = await handle.read(block, 0, end - start, start);
    for (let at = bytesRead - 1; at >= 0; at -= 1) {
      if (block[at] !== lineFeed) continue;
      lines += 1;
      if (lines === wanted) return { offset: start + at + 1, lines };
    }
    end = start;
  }
  return { lines: lines + 1 };
}
