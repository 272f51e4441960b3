import { TokenStream } from "./token-stream.ts";

/** The message that a value is in. */
export interface Message {
  readonly topic: string;
  /** The JSON document of the payload; the payload as text when it is none. */
  readonly document: () => unknown;
}

/**
 * A small arithmetic language that computes a property from a payload: numbers, texts in single or double quotes,
 * `value`, the whole payload as `value_json`, `topic`, parts of them (`value_json.list[0].name`), `+ - * / %`,
 * comparisons, `&& || !`, `a ? b : c`, parentheses and `round(x, digits) min(a, b) max(a, b) number(x) text(x) lower(x)
 * upper(x) exists(x)`. No loops, no access to anything else.
 */
export type Expression = (value: unknown, message?: Message) => unknown;

/**
 * Parses at most 500 characters: an expression is one line of a Device, and parsing happens with every change of it.
 * @throws SyntaxError with the token that is wrong
 */
export function parseExpression(text: string): Expression {
  if (text.length > 500) throw new SyntaxError("expression: longer than 500 characters");
  const parser = new ExpressionParser(
    new TokenStream(text, pattern, (rest) => unexpected(rest.slice(0, 10))),
  );
  const expression = parser.ternary();
  parser.end();
  return expression;
}

const pattern =
  /\s*(?:(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|("[^"]*"|'[^']*')|([A-Za-z_]\w*)|(===|!==|==|!=|<=|>=|&&|\|\||[-+*/%()<>!?:,.[\]]))/y;

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
  exists: (x) => x !== undefined && x !== null,
};

class ExpressionParser {
  readonly #tokens: TokenStream;
  #depth = 0;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  ternary(): Expression {
    this.#depth += 1;
    // The parser is recursive: 500 opening brackets must not exhaust its stack.
    if (this.#depth > 50) throw new SyntaxError("expression: nested too deep");
    const test = this.#binary(0);
    this.#depth -= 1;
    if (!this.#take("?")) return test;
    const yes = this.ternary();
    this.#expect(":");
    const no = this.ternary();
    return (value, message) => (truthy(test(value, message)) ? yes(value, message) : no(value, message));
  }

  end(): void {
    const rest = this.#tokens.peek();
    if (rest.kind !== "end") throw unexpected(rest.text);
  }

  #binary(level: number): Expression {
    const operators = levels[level];
    if (!operators) return this.#unary();
    let left = this.#binary(level + 1);
    for (;;) {
      const operator = operators.find(([sign]) => this.#take(sign));
      if (!operator) return left;
      const [a, b, apply] = [left, this.#binary(level + 1), operator[1]];
      left = (value, message) => apply(a(value, message), b(value, message));
    }
  }

  #unary(): Expression {
    if (this.#take("-")) {
      const inner = this.#unary();
      return (value, message) => -toNumber(inner(value, message));
    }
    if (this.#take("!")) {
      const inner = this.#unary();
      return (value, message) => !truthy(inner(value, message));
    }
    return this.#part(this.#primary());
  }

  /** `.name` and `[…]` after a value. */
  #part(of: Expression): Expression {
    let part = of;
    for (;;) {
      const [from, key] = [part, this.#key()];
      if (!key) return part;
      part = (value, message) => memberOf(from(value, message), key(value, message));
    }
  }

  #key(): Expression | undefined {
    if (this.#take(".")) {
      const token = this.#tokens.next();
      if (token.kind !== "name") throw unexpected(token.text);
      return constant(token.text);
    }
    if (!this.#take("[")) return undefined;
    const key = this.ternary();
    this.#expect("]");
    return key;
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
    if (name === "value_json") return (_, message) => message?.document();
    if (name === "topic") return (_, message) => message?.topic;
    if (name === "true" || name === "false") return constant(name === "true");
    const call = Object.hasOwn(functions, name) ? functions[name] : undefined;
    if (!call) throw new SyntaxError(`expression: unknown name "${name}"`);
    this.#expect("(");
    const args: Expression[] = [];
    while (!this.#take(")")) {
      if (args.length > 0) this.#expect(",");
      args.push(this.ternary());
    }
    return (value, message) => call(...args.map((arg) => arg(value, message)));
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

/** A JSON value as text: texts as they are, objects as JSON, null and undefined empty. */
export function plain(value: unknown): string {
  if (typeof value === "string") return value;
  return value === undefined || value === null ? "" : JSON.stringify(value);
}

/**
 * The part of a JSON document at a path: `$.a.b[0].c`, `a.b`, `['odd name']`.
 * @returns undefined when the document has no such part
 */
export function readPath(document: unknown, path: string): unknown {
  let part = document;
  for (const [, name, index, quoted] of path.matchAll(/([^.[\]$]+)|\[(\d+)\]|\[['"]([^'"]*)['"]\]/g)) {
    const key = quoted ?? index ?? name ?? "";
    if (!isIndexed(part) || !Object.hasOwn(part, key)) return undefined;
    part = part[key];
  }
  return part;
}

/** A negative index counts from the end of a list, as in the templates. */
function memberOf(of: unknown, key: unknown): unknown {
  if (Array.isArray(of)) return of.at(Number.isInteger(Number(key)) ? Number(key) : of.length) as unknown;
  const name = plain(key);
  return isIndexed(of) && Object.hasOwn(of, name) ? of[name] : undefined;
}

/** Objects and lists: the index of a list is a key like others. */
function isIndexed(part: unknown): part is Readonly<Record<string, unknown>> {
  return typeof part === "object" && part !== null;
}

const pathStep = /\.?[^.[\]$]+|\[\d+\]|\['[^']*'\]|\["[^"]*"\]/y;

/** Whether the whole text is a path for `readPath`. */
export function isPath(text: string): boolean {
  let index = text.startsWith("$") ? 1 : 0;
  while (index < text.length) {
    pathStep.lastIndex = index;
    if (!pathStep.test(text)) return false;
    index = pathStep.lastIndex;
  }
  return true;
}

function constant(value: unknown): Expression {
  return () => value;
}

/** NaN for booleans, empty texts, null and undefined, which JavaScript converts to 0 or 1. */
function toNumber(value: unknown): number {
  if (typeof value === "number") return value;
  return typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
}

/** Whether a value counts as true in a condition. */
export function truthy(value: unknown): boolean {
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
