import type * as Re2 from "re2js";
import { type Budget, RenderError } from "#shared/jinja/values";

/** Characters of a pattern: its automaton grows with it. */
const longestPattern = 300;
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
    budget.text(text.length);
    const matcher = this.#compile(pattern, budget).matcher(text);
    const found: string[][] = [];
    while (found.length < mostMatches && matcher.find()) {
      budget.charge(10);
      found.push(Array.from({ length: matcher.groupCount() + 1 }, (_, index) => matcher.group(index) ?? ""));
    }
    return found;
  }

  /** @param from "start": as Python's `match`, the match begins with the text; else anywhere */
  test(pattern: string, text: string, budget: Budget, from: "start" | "anywhere" = "anywhere"): boolean {
    const whole = from === "start" ? `^(?:${pattern})` : pattern;
    budget.text(text.length);
    return this.#compile(whole, budget).matcher(text).find();
  }

  replace(pattern: string, text: string, replacement: string, budget: Budget): string {
    const found = this.matches(pattern, text, budget);
    budget.text(text.length + found.length * replacement.length);
    // RE2 reads $1 and \ in replacements; Python's \1 has no equal there.
    if (/\\/.test(replacement)) throw new RenderError("cannot replace by groups");
    return this.#compile(pattern, budget)
      .matcher(text)
      .replaceAll(replacement.replaceAll("$", String.raw`\$`));
  }

  #compile(pattern: string, budget: Budget): Re2.RE2JS {
    const known = this.#known.get(pattern);
    if (known) return known;
    if (pattern.length > longestPattern) throw new RenderError("has too long a pattern");
    budget.charge(500);
    // Nine megabytes of memory, loaded when a template has a pattern; require caches it.
    const { RE2JS } = require("re2js") as typeof Re2;
    try {
      const compiled = RE2JS.compile(pattern);
      if (this.#known.size >= 20) this.#known.clear();
      this.#known.set(pattern, compiled);
      return compiled;
    } catch (error) {
      throw new RenderError(`cannot use the pattern ${JSON.stringify(pattern.slice(0, 50))}`, {
        cause: error,
      });
    }
  }
}
