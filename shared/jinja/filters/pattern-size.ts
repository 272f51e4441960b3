/**
 * What a pattern of RE2 consists of: quoted text, an escape, a class of characters, a count, a group's begin or end, a sign of
 * repetition, or one more character. A malformed count is text, as for RE2.
 */
const parts =
  /\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:[^\]]*:\]|\\.|[^\]\\])*\]|\{(?<least>\d+)(?:,(?<most>\d*))?\}|[()*+?]|./gsu;

/**
 * About how many characters and classes a pattern has when its counts are written out: `(?:a{2}b){3}` has 9. RE2 writes
 * them out too, so that a short pattern with counts within counts is a large program.
 */
export function expandedSize(pattern: string): number {
  const around: number[] = [];
  let size = 0;
  /** size of what a count repeats */
  let last = 0;
  for (const { 0: part, groups } of pattern.matchAll(parts)) {
    if (groups?.least !== undefined) {
      const more = last * (Math.max(1, Number(groups.least), Number(groups.most ?? 0)) - 1);
      size += more;
      last += more;
    } else if (part === "(") {
      around.push(size);
      size = 0;
    } else if (part === ")") {
      last = size;
      size += around.pop() ?? 0;
    } else if (!/^[*+?]$/.test(part)) {
      last = part.startsWith(String.raw`\Q`) ? part.length : 1;
      size += last;
    }
  }
  return size;
}
