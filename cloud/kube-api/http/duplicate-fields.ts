/** Fields that are reported: warnings and refusals name no more. */
const mostFields = 100;

const comma = 44;
const quote = 34;
const colon = 58;
const openBracket = 91;
const backslash = 92;
const closeBracket = 93;
const openBrace = 123;
const closeBrace = 125;

/** An object or list that the scan is inside of. */
interface Level {
  /** undefined in a list */
  readonly names: Set<string> | undefined;
  /** The field or the place in a list that the scan is at. */
  name: string;
  index: number;
}

/**
 * The paths of fields that objects of a JSON text have more than once; the text has been parsed before. A scan of the
 * characters: JSON.parse does not report them, and a reviver costs more than the whole parsing.
 */
export function duplicateFields(text: string): string[] {
  const scan = new Scan(text);
  for (let index = 0; index < text.length && scan.found.size < mostFields; index += 1)
    index = scan.step(index);
  return [...scan.found];
}

class Scan {
  readonly found = new Set<string>();
  readonly #text: string;
  readonly #levels: Level[] = [];
  /** Whether the next string is the name of a field. */
  #isName = false;

  constructor(text: string) {
    this.#text = text;
  }

  /** @returns where the character or string that begins at `at` ends */
  step(index: number): number {
    switch (this.#text.charCodeAt(index)) {
      case openBrace:
        this.#enter(new Set());
        break;
      case openBracket:
        this.#enter(undefined);
        break;
      case closeBrace:
      case closeBracket:
        this.#levels.pop();
        break;
      case comma:
        this.#goOn(this.#levels.at(-1));
        break;
      case colon:
        this.#isName = false;
        break;
      case quote:
        return this.#string(index);
    }
    return index;
  }

  #enter(names: Set<string> | undefined): void {
    this.#levels.push({ names, name: "", index: 0 });
    this.#isName = names !== undefined;
  }

  #goOn(level: Level | undefined): void {
    if (level) level.index += 1;
    this.#isName = level?.names !== undefined;
  }

  #string(start: number): number {
    const end = endOfString(this.#text, start);
    const level = this.#levels.at(-1);
    if (!this.#isName || !level?.names) return end;
    level.name = nameOf(this.#text.slice(start + 1, end));
    if (level.names.has(level.name)) this.found.add(pathOf(this.#levels));
    level.names.add(level.name);
    return end;
  }
}

function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length && text.charCodeAt(index) !== quote)
    index += text.charCodeAt(index) === backslash ? 2 : 1;
  return index;
}

function nameOf(escaped: string): string {
  return escaped.includes("\\") ? (JSON.parse(`"${escaped}"`) as string) : escaped;
}

function pathOf(levels: readonly Level[]): string {
  return levels
    .map(({ names, name, index }) => (names ? `.${name}` : `[${index}]`))
    .join("")
    .slice(1);
}
