import { TokenStream } from "./token-stream.ts";

/**
 * A small arithmetic language for turning what a device sends into a property and back: numbers, texts in single or
 * double quotes, `value`, `+ - * / %`, comparisons, `&& || !`, `a ? b : c`, parentheses and
 * `round(x, digits) min(a, b) max(a, b) number(x) text(x) lower(x) upper(x)`. No loops, no access to anything else.
 */
export type Expression = (value: unknown) => unknown;

/** @throws SyntaxError naming the place */
export function parseExpression(text: string): Expression {
  if (text.length > 500) throw new SyntaxError("expression: longer than 500 characters");
  const reader = new Reader(new TokenStream(text, pattern, (rest) => unexpected(rest.slice(0, 10))));
  const expression = reader.ternary();
  reader.end();
  return expression;
}

const pattern =
  /\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|("[^"]*"|'[^']*')|([A-Za-z_]\w*)|(===|!==|==|!=|<=|>=|&&|\|\||[-+*/%()<>!?:,]))/y;

type Binary = (a: unknown, b: unknown) => unknown;

const levels: readonly (readonly [string, Binary][])[] = [
  [["||", (a, b) => (truthy(a) ? a : b)]],
  [["&&", (a, b) => (truthy(a) ? b : a)]],
  [
    ["==", (a, b) => same(a, b)],
    ["===", (a, b) => same(a, b)],
    ["!=", (a, b) => !same(a, b)],
    ["!==", (a, b) => !same(a, b)],
  ],
  [
    ["<", (a, b) => toNumber(a) < toNumber(b)],
    ["<=", (a, b) => toNumber(a) <= toNumber(b)],
    [">", (a, b) => toNumber(a) > toNumber(b)],
    [">=", (a, b) => toNumber(a) >= toNumber(b)],
  ],
  [
    ["+", (a, b) => (isNumeric(a) && isNumeric(b) ? toNumber(a) + toNumber(b) : `${plain(a)}${plain(b)}`)],
    ["-", (a, b) => toNumber(a) - toNumber(b)],
  ],
  [
    ["*", (a, b) => toNumber(a) * toNumber(b)],
    ["/", (a, b) => toNumber(a) / toNumber(b)],
    ["%", (a, b) => toNumber(a) % toNumber(b)],
  ],
];

const functions: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
  round: (x, digits = 0) => Number(toNumber(x).toFixed(Math.min(10, Math.max(0, toNumber(digits) || 0)))),
  min: (...all) => Math.min(...all.map(toNumber)),
  max: (...all) => Math.max(...all.map(toNumber)),
  number: (x) => toNumber(x),
  text: (x) => plain(x),
  lower: (x) => plain(x).toLowerCase(),
  upper: (x) => plain(x).toUpperCase(),
};

class Reader {
  readonly #tokens: TokenStream;
  #depth = 0;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  ternary(): Expression {
    this.#depth += 1;
    if (this.#depth > 50) throw new SyntaxError("expression: nested too deep");
    const test = this.#binary(0);
    this.#depth -= 1;
    if (!this.#take("?")) return test;
    const yes = this.ternary();
    this.#expect(":");
    const no = this.ternary();
    return (value) => (truthy(test(value)) ? yes(value) : no(value));
  }

  end(): void {
    const left = this.#tokens.peek();
    if (left.kind !== "end") throw unexpected(left.text);
  }

  #binary(level: number): Expression {
    const operators = levels[level];
    if (!operators) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = operators.find(([sign]) => this.#take(sign));
      if (!operator) return left;
      const [a, b, apply] = [left, this.#binary(level + 1), operator[1]];
      left = (value) => apply(a(value), b(value));
    }
  }

  #unary(): Expression {
    if (this.#take("-")) {
      const inner = this.#unary();
      return (value) => -toNumber(inner(value));
    }
    if (this.#take("!")) {
      const inner = this.#unary();
      return (value) => !truthy(inner(value));
    }
    return this.#primary();
  }

  #primary(): Expression {
    const token = this.#tokens.next();
    if (token.kind === "number") return constant(Number(token.text));
    if (token.kind === "text") return constant(token.text);
    if (token.kind === "name") return this.#name(token.text);
    if (token.text !== "(") throw unexpected(token.text);
    const inner = this.ternary();
    this.#expect(")");
    return inner;
  }

  #name(name: string): Expression {
    if (name === "value") return (value) => value;
    if (name === "true" || name === "false") return constant(name === "true");
    const call = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (!call) throw new SyntaxError(`expression: unknown name "${name}"`);
    this.#expect("(");
    const args: Expression[] = [];
    while (!this.#take(")")) {
      if (args.length > 0) this.#expect(",");
      args.push(this.ternary());
    }
    return (value) => call(...args.map((arg) => arg(value)));
  }

  #take(sign: string): boolean {
    return this.#tokens.take("sign", sign);
  }

  #expect(sign: string): void {
    if (!this.#take(sign))
      throw new SyntaxError(`expression: expected "${sign}", got "${this.#tokens.peek().text}"`);
  }
}

function unexpected(text: string): SyntaxError {
  return new SyntaxError(`expression: unexpected "${text}"`);
}

/** A value as text: objects as JSON. */
export function plain(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/**
 * The part of a JSON document a path names: `$.a.b[0].c`, `a.b`, `['odd name']`.
 * @returns undefined where the document has no such part
 */
export function readPath(document: unknown, path: string): unknown {
  let at = document;
  for (const [, name, index, quoted] of path.matchAll(/([^.[\]$]+)|\[(\d+)\]|\[['"]([^'"]*)['"]\]/g)) {
    const key = quoted ?? index ?? name ?? "";
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string, unknown>)[key];
  }
  return at;
}

const pathStep = /\.?[^.[\]$]+|\[\d+\]|\['[^']*'\]|\["[^"]*"\]/y;

/** Whether a text is a path as `readPath` takes it, from the first character to the last. */
export function isPath(text: string): boolean {
  let at = text.startsWith("$") ? 1 : 0;
  while (at < text.length) {
    pathStep.lastIndex = at;
    if (!pathStep.test(text)) return false;
    at = pathStep.lastIndex;
  }
  return true;
}

function constant(value: unknown): Expression {
  return () => value;
}

/** Numbers and texts of them: truths, empty texts and nothing are no numbers, whatever JavaScript makes of them. */
function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
}

function truthy(value: unknown): boolean {
  return (
    value !== false && value !== 0 && value !== "" && value !== "false" && value !== "0" && value != null
  );
}

function isNumeric(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && !Number.isNaN(toNumber(value)));
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (isNumeric(a) && isNumeric(b) ? toNumber(a) === toNumber(b) : plain(a) === plain(b));
}
