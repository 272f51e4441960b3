import { formatPath, isPlain } from "./check.ts";

/** Behind a key; what looks like one within a text or a comment does no harm. */
const colons = /(?<=\S)[ \t]*:(?=[\s,[\]{}]|$)|(?<=["']):/g;
/** Ends the name of a key and makes it like no other. */
const mark = /\u{E000}(\d+)/u;

/** What is looked at before a colon: a line may be a whole file. */
const longestName = 300;

interface Marked {
  readonly text: string;
  /** Where in the file the n-th key stands. */
  readonly places: readonly number[];
}

/**
 * Keys given twice in one mapping, one text each: `mqtt: given twice, lines 1 and 20; merge them`. The parser keeps the
 * last without a warning, so this reads the file once more with every key numbered, where none replaces another.
 */
export function findDuplicates(text: string, parse: (text: string) => unknown): string[] {
  const marked = markKeys(text);
  const seen = new Set<unknown>();
  const lineOf = (key: string): number =>
    text.slice(0, marked.places[Number(mark.exec(key)?.[1])]).split("\n").length;
  const walk = (value: unknown, path: readonly PropertyKey[]): string[] => {
    if (!isPlain(value) || seen.has(value)) return [];
    seen.add(value);
    if (Array.isArray(value)) return value.flatMap((one, index) => walk(one, [...path, index]));
    const groups = Map.groupBy(Object.keys(value), (key) => key.replace(mark, ""));
    return [...groups].flatMap(([name, keys]) => {
      const here = [...path, name];
      const merge = keys.every((key) => isPlain(value[key]));
      // Merge keys are merged, however many there are.
      const found =
        keys.length < 2 || name === "<<" ? [] : [explain(formatPath(here), keys.map(lineOf), merge)];
      return [...found, ...keys.flatMap((key) => walk(value[key], here))];
    });
  };
  return walk(parse(marked.text), []);
}

function explain(name: string, lines: readonly number[], merge: boolean): string {
  const times = lines.length === 2 ? "twice" : `${lines.length} times`;
  const where = `${lines.slice(0, -1).join(", ")} and ${lines.at(-1)}`;
  return `${name}: given ${times}, lines ${where}; ${merge ? "merge them" : "keep one of them"}`;
}

function markKeys(text: string): Marked {
  const places: number[] = [];
  const parts: string[] = [];
  let done = 0;
  for (const { index } of text.matchAll(colons)) {
    const end = endOfName(text, index);
    if (end === undefined) continue;
    parts.push(text.slice(done, end), `\u{E000}${places.length}`);
    places.push(end);
    done = end;
  }
  return { text: [...parts, text.slice(done)].join(""), places };
}

/** Within the quotes of a quoted name. @returns undefined where no key ends: at an alias, or a quote within a text */
function endOfName(text: string, index: number): number | undefined {
  const before = text.slice(Math.max(0, index - longestName), index);
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const quote = line.at(-1);
  if (quote === '"') return /(?<!\\)(?:\\\\)*\\"$/.test(line) ? undefined : index - 1;
  if (quote === "'") return line.endsWith("''") ? undefined : index - 1;
  return /(?:^|[\s,[{])\*\S+$/.test(line) ? undefined : index;
}
