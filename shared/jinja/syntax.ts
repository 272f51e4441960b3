import type * as Jinja from "@huggingface/jinja";

/** A node of the library's syntax tree; its classes are not exported, its `type` tells what it is. */
export interface Node {
  readonly type: string;
}

/** Characters. The longest template of Zigbee2MQTT has two thousand. */
export const longestTemplate = 4096;
/** Brackets in each other: the library's parser is recursive. */
const deepestBrackets = 30;
/** Tags `{% … %}` of one template. */
const mostTags = 100;

/**
 * Reads the syntax of Jinja with the library's parser. Only that part of the library is used: how it computes differs
 * from Python (`"" == 0`), and cannot be bounded.
 * @throws SyntaxError for what is no template, or too large
 */
export function parseTemplate(text: string): readonly Node[] {
  if (text.length > longestTemplate) throw new SyntaxError(`is longer than ${longestTemplate} characters`);
  const problem = shapeProblem(text);
  if (problem !== undefined) throw new SyntaxError(problem);
  // A megabyte of memory, loaded when a template needs it; require caches it.
  const { tokenize, parse } = require("@huggingface/jinja") as typeof Jinja;
  try {
    return parse(tokenize(text)).body;
  } catch (error) {
    // The library throws a TypeError for a template that ends too early, and the stack ends with a RangeError.
    if (error instanceof SyntaxError) throw new SyntaxError(lowerFirst(error.message), { cause: error });
    throw new SyntaxError("is incomplete", { cause: error });
  }
}

function shapeProblem(text: string): string | undefined {
  if ((text.match(/\{%/g)?.length ?? 0) > mostTags) return `has more than ${mostTags} tags`;
  // The library drops this tag of its own, and looks for it with an expression that blanks make slow.
  if (text.includes("generation")) return 'has the unknown word "generation"';
  if (/\s{200}/.test(text)) return "has too many blanks";
  if (/\bnot\s+(?:not\s+){9}|(?:-\s*){10}/.test(text)) return "has too many signs in a row";
  let depth = 0;
  for (const sign of text) {
    if ("([{".includes(sign)) depth += 1;
    else if (")]}".includes(sign)) depth -= 1;
    if (depth > deepestBrackets) return "is nested too deep";
  }
  return undefined;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
