import type * as Re2 from "re2js";

/** A regular expression of a schema, run in time that is linear in the text. */
export interface Pattern {
  /** How many states it has: a text costs its length times this at worst. */
  readonly states: number;
  test(text: string): boolean;
  /** Where the first match at or after a place starts and ends. */
  find(text: string, start: number): readonly [number, number] | undefined;
}

export type ReadPattern = { readonly pattern: Pattern } | { readonly error: string };

/**
 * Compiles a pattern with the syntax of Go's RE2, as upstream: no look-around, no back references, and linear time. Errors
 * have the text of Go's.
 */
export function readPattern(text: string): ReadPattern {
  const known = cache.patterns.get(text);
  if (known) return { pattern: known };
  const read = readPlain(text) ?? readRe2(text);
  if ("error" in read) return read;
  if (cache.patterns.size >= mostPatterns) cache.patterns.clear();
  cache.patterns.set(text, read.pattern);
  return read;
}

/** Compiled patterns of all definitions: a cache, not state. */
const cache = { patterns: new Map<string, Pattern>(), grownBytes: 0 };
/** Of more all are dropped and compiled again when they are used: clusters have some hundred. */
const mostPatterns = 1000;
/** Worst-case size of the automata of all patterns, which grow with the texts they see; past it all are compiled again. */
const mostGrownBytes = 64 * 1024 * 1024;
/** What a matched character adds to the automaton at worst, for each state of the pattern. */
const bytesAState = 16;

/** `^[a-z]+$`: one class from end to end, where JavaScript and RE2 agree and nothing can backtrack. */
const plain = /^\^\[(?:[A-Za-z0-9]-[A-Za-z0-9]|\\[-_.,:/@#+]|[A-Za-z0-9 _.,:@#=+/~])+-?\][+*]?\$$/;

/** Most processes need no engine: the definitions of this project have only such patterns. */
function readPlain(text: string): ReadPattern | undefined {
  if (text.length > 200 || !plain.test(text)) return undefined;
  try {
    const expression = new RegExp(text);
    const test = (value: string): boolean => expression.test(value);
    // It is one class from end to end.
    const find = (value: string, start: number): [number, number] | undefined =>
      start === 0 && test(value) ? [0, value.length] : undefined;
    return { pattern: { states: 1, test, find } };
  } catch (error) {
    // A range from z to a: RE2 has the right words for it.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function readRe2(text: string): ReadPattern {
  // Nine megabytes of memory, loaded when a definition has a pattern that needs it; require caches it.
  const { RE2JS, RE2JSException } = require("re2js") as typeof Re2;
  try {
    const expression = RE2JS.compile(text);
    const states = expression.programSize();
    const test = (value: string): boolean => {
      grow(value.length * states * bytesAState);
      return expression.test(value);
    };
    const find = (value: string, start: number): [number, number] | undefined => {
      grow((value.length - start) * states * bytesAState);
      const matcher = expression.matcher(value);
      return matcher.find(start) ? [matcher.start(), matcher.end()] : undefined;
    };
    return { pattern: { states, test, find } };
  } catch (error) {
    if (error instanceof RE2JSException) return { error: error.message };
    throw error;
  }
}

/** The automaton of a pattern grows with the texts it sees. */
function grow(bytes: number): void {
  cache.grownBytes += bytes;
  if (cache.grownBytes < mostGrownBytes) return;
  cache.grownBytes = 0;
  cache.patterns.clear();
}
