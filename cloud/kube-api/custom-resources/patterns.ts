import type * as Re2 from "re2js";

/** A regular expression of a schema, run in time that is linear in the text. */
export interface Pattern {
  /** How many states it has: a text costs its length times this at worst. */
  readonly states: number;
  test(text: string): boolean;
}

export type ReadPattern = { readonly pattern: Pattern } | { readonly error: string };

/**
 * Reads a pattern as Go's RE2, which the real server uses, does: no look-around, no back references, and no text that takes
 * exponential time. What it refuses has the text of Go's error.
 */
export function readPattern(text: string): ReadPattern {
  const known = patterns.get(text);
  if (known) return { pattern: known };
  const read = readPlain(text) ?? readRe2(text);
  if ("error" in read) return read;
  if (patterns.size >= mostPatterns) patterns.clear();
  patterns.set(text, read.pattern);
  return read;
}

const patterns = new Map<string, Pattern>();
const mostPatterns = 1000;
/** What the automata of all patterns may have grown to, reckoned at their worst, before all are made anew. */
const mostGrownBytes = 64 * 1024 * 1024;
const bytesAState = 16;
let grownBytes = 0;

/** `^[a-z]+$`: one class from end to end, where JavaScript and RE2 agree and nothing can backtrack. */
const plain = /^\^\[(?:[A-Za-z0-9]-[A-Za-z0-9]|\\[-_.,:/@#+]|[A-Za-z0-9 _.,:@#=+/~])+-?\][+*]?\$$/;

/** Spares most processes the engine: the definitions of this project need no more. */
function readPlain(text: string): ReadPattern | undefined {
  if (text.length > 200 || !plain.test(text)) return undefined;
  try {
    const expression = new RegExp(text);
    return { pattern: { states: 1, test: (value) => expression.test(value) } };
  } catch (error) {
    // A range from z to a: RE2 has the right words for it.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

let engine: typeof Re2 | undefined;

function readRe2(text: string): ReadPattern {
  // Nine megabytes, for those who define patterns.
  engine ??= require("re2js") as typeof Re2;
  const { RE2JS, RE2JSException } = engine;
  try {
    const expression = RE2JS.compile(text);
    const states = expression.programSize();
    const test = (value: string): boolean => {
      grow(value.length * states * bytesAState);
      return expression.test(value);
    };
    return { pattern: { states, test } };
  } catch (error) {
    if (error instanceof RE2JSException) return { error: error.message };
    throw error;
  }
}

/** The automaton of a pattern grows with the texts it sees. */
function grow(bytes: number): void {
  grownBytes += bytes;
  if (grownBytes < mostGrownBytes) return;
  grownBytes = 0;
  patterns.clear();
}
