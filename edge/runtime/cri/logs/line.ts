import type { OutputChunk } from "#edge/runtime";

/** One entry of a log file of the CRI: `<time> <stream> <tag> <content>`. */
export interface LogEntry {
  /** RFC 3339, as the engine wrote it. */
  readonly time: string;
  readonly stream: OutputChunk["stream"];
  /** Whether the line goes on in the next entry of this stream (tag "P"): engines cut long lines. */
  readonly isPartial: boolean;
  readonly content: Uint8Array;
}

const blank = 0x20;
const colon = ":";

/** @param line without the line feed. @returns undefined for what is none, such as a line that a full disk cut */
export function parseEntry(line: Uint8Array): LogEntry | undefined {
  const afterTime = line.indexOf(blank);
  const afterStream = line.indexOf(blank, afterTime + 1);
  if (afterTime <= 0 || afterStream === -1) return undefined;
  const end = line.indexOf(blank, afterStream + 1);
  const afterTag = end === -1 ? line.length : end;
  const text = (from: number, to: number): string => Buffer.from(line.subarray(from, to)).toString("latin1");
  const stream = text(afterTime + 1, afterStream);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  // Tags are separated by colons; the first says whether the line is whole.
  const [tag] = text(afterStream + 1, afterTag).split(colon);
  if (tag !== "F" && tag !== "P") return undefined;
  return {
    time: text(0, afterTime),
    stream,
    isPartial: tag === "P",
    content: line.subarray(Math.min(line.length, afterTag + 1)),
  };
}

/** A time of RFC 3339 with nine digits of its second, as kubelet shows it: engines leave out zeros at the end. */
export function withNanoseconds(time: string): string {
  const [, start = time, digits = "", zone = ""] =
    /^([^.Z+]*?)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/.exec(time) ?? [];
  return `${start}.${digits.padEnd(9, "0")}${zone || "Z"}`;
}
