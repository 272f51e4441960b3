import { Budget, Output, Scope, NoValue, parseDocument, RenderError, type Value } from "#shared/jinja/values";
import { ExpressionCompiler } from "./expressions.ts";
import { compileBlock, namesSet } from "./statements.ts";
import { parseTemplate } from "./syntax.ts";

/** What a template makes of its variables. */
export type Rendered =
  | { readonly kind: "text"; readonly text: string }
  /** The payload does not have what the template reads. */
  | { readonly kind: "none" }
  /** What is wrong with the payload, or the template. */
  | { readonly kind: "problem"; readonly problem: string };

/** A template of Home Assistant, ready to be rendered. */
export interface Template {
  /**
   * @param variables texts, numbers and truth values. `value` also is `value_json`, when that is read and `value` is a
   * JSON document. Whole numbers are given as bigint.
   */
  render(variables: Readonly<Record<string, string | number | bigint | boolean | undefined>>): Rendered;
}

/**
 * Compiles a template as Home Assistant has them in MQTT discovery: Jinja with `{{ }}`, `{% if %}`, `{% set %}`,
 * `{% for %}` and the filters that depend on nothing but their input. Values are Python's: `1 == "1"` is false, `21.0`
 * is printed with its point, halves are rounded to the even neighbour. Templates that read states, time or anything else
 * outside of the payload are refused.
 * @param names of its variables
 * @throws SyntaxError with what is not known
 */
export function compileTemplate(text: string, names: readonly string[]): Template {
  try {
    const nodes = parseTemplate(text);
    const all = new Set([...names, ...namesSet(nodes)]);
    const run = compileBlock(nodes, new ExpressionCompiler(all));
    const hasDocument = names.includes("value_json");
    return { render: (variables) => render(run, variables, hasDocument) };
  } catch (error) {
    // The depth of a template is bounded, that of a chain of operators is not.
    if (error instanceof RangeError) throw new SyntaxError("is nested too deep", { cause: error });
    throw error;
  }
}

/** @returns why a template cannot be used; undefined when it can */
export function templateProblem(text: string, names: readonly string[]): string | undefined {
  try {
    compileTemplate(text, names);
    return undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}

function render(
  run: ReturnType<typeof compileBlock>,
  variables: Readonly<Record<string, Value>>,
  hasDocument: boolean,
): Rendered {
  const budget = new Budget();
  const output = new Output(budget);
  const scope = new Scope();
  for (const [name, value] of Object.entries(variables)) scope.set(name, value);
  const { value } = variables;
  if (hasDocument && typeof value === "string") scope.set("value_json", parseDocument(value));
  try {
    run({ scope, budget, output });
  } catch (error) {
    if (error instanceof NoValue) return { kind: "none" };
    if (error instanceof RenderError) return { kind: "problem", problem: error.message };
    if (error instanceof RangeError) return { kind: "problem", problem: "is nested too deep" };
    throw error;
  }
  const text = output.text.trim();
  // As Home Assistant: None is no value. A text with a gap could be a wrong one.
  return text === "None" || output.hasGap ? { kind: "none" } : { kind: "text", text };
}
