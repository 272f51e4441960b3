import type * as Re2 from "re2js";
import { type Budget, RenderError } from "#shared/jinja/values";
import { expandedSize } from "./pattern-size.ts";

/** Characters of a pattern: its automaton grows with it. */
const longestPattern = 300;
/** Instructions of a pattern's program, which is as long as the pattern with its counts written out. */
const largestProgram = 1000;
/** Matches of one text. */
const mostMatches = 1000;

/**
 * Regular expressions run on RE2, in time linear in the text. Python's `(?P<name>…)` is written the same there;
 * look-around and back references are refused.
 */
export class Patterns {
  /** Patterns of one template; most are written in it and always the same. */
  readonly #known = new Map<string, Re2.RE2JS>();

  /** Each match with its groups; the whole match is the first. */
  matches(pattern: string, text: string, budget: Budget): readonly (readonly string[])[] {
    const found: string[][] = [];
    for (const matcher of search(this.#compile(pattern, budget), text, budget)) {
      found.push(Array.from({ length: matcher.groupCount() + 1 }, (_, index) => matcher.group(index) ?? ""));
      if (found.length === mostMatches) break;
    }
    return found;
  }

  /** @param from "start": as Python's `match`, the match begins with the text; else anywhere */
  test(pattern: string, text: string, budget: Budget, from: "start" | "anywhere" = "anywhere"): boolean {
    const compiled = this.#compile(from === "start" ? `^(?:${pattern})` : pattern, budget);
    budget.search(text.length, compiled.programSize());
    return compiled.matcher(text).find();
  }

  replace(pattern: string, text: string, replacement: string, budget: Budget): string {
    // Python's \1 is not the same in RE2.
    if (/\\/.test(replacement)) throw new RenderError("cannot replace by groups");
    const kept: string[] = [];
    let at = 0;
    for (const matcher of search(this.#compile(pattern, budget), text, budget)) {
      kept.push(text.slice(at, matcher.start()));
      at = matcher.end();
    }
    budget.text(text.length + kept.length * replacement.length);
    return [...kept, text.slice(at)].join(replacement);
  }

  #compile(pattern: string, budget: Budget): Re2.RE2JS {
    const known = this.#known.get(pattern);
    if (known) return known;
    if (pattern.length > longestPattern) throw new RenderError("has too long a pattern");
    // Before it is compiled, which takes time and memory by its size.
    if (expandedSize(pattern) > largestProgram) throw tooLarge();
    budget.charge(500);
    // Nine megabytes of memory, loaded when a template has a pattern; require caches it.
    const { RE2JS } = require("re2js") as typeof Re2;
    let compiled: Re2.RE2JS;
    try {
      compiled = RE2JS.compile(pattern);
    } catch (error) {
      throw new RenderError(`cannot use the pattern ${JSON.stringify(pattern.slice(0, 50))}`, {
        cause: error,
      });
    }
    if (compiled.programSize() > largestProgram) throw tooLarge();
    if (this.#known.size >= 20) this.#known.clear();
    this.#known.set(pattern, compiled);
    return compiled;
  }
}

/** Goes from match to match. Each may look at all the rest of the text before it ends early, and is charged for that. */
function* search(compiled: Re2.RE2JS, text: string, budget: Budget): Generator<Re2.Matcher> {
  const size = compiled.programSize();
  const matcher = compiled.matcher(text);
  for (let at = 0; ; at = matcher.end()) {
    budget.search(text.length - at, size);
    if (!matcher.find()) return;
    budget.charge(10);
    yield matcher;
  }
}

function tooLarge(): RenderError {
  return new RenderError(`has a pattern of more than ${largestProgram} parts with its counts written out`);
}
