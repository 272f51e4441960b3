import { isPath, parseExpression } from "./expression.ts";
import { TokenStream, type Token } from "./token-stream.ts";

/** A template of Home Assistant as `path` and `expression` of `visitors.configData`, or why it has no equivalent. */
export type TemplateTranslation =
  | { readonly ok: true; readonly path: string | undefined; readonly expression: string }
  | { readonly ok: false; readonly problem: string };

/**
 * Translates a template such as `{{ value_json.temp | float / 10 }}`: one part of the payload, arithmetic, comparisons,
 * `a if b else c` and the filters float, int, round, abs, lower, upper, string, add and multiply. The rest of
 * Jinja is refused: a wrong value is worse than none.
 */
export function translateTemplate(template: string): TemplateTranslation {
  const inner = /^\s*\{\{-?((?:(?!\{\{|\}\}|\{%)[^])*?)-?\}\}\s*$/.exec(template)?.[1];
  if (inner === undefined) return { ok: false, problem: "must be a single {{ … }} without other text" };
  try {
    const parser = new TemplateParser(
      new TokenStream(inner, pattern, (rest) => untranslatable(rest.slice(0, 20))),
    );
    const expression = parser.conditional();
    parser.end();
    parseExpression(expression);
    return { ok: true, path: parser.path, expression };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { ok: false, problem: error.message };
  }
}

/** A text as a literal of the expression language; undefined for one with both kinds of quotes. */
export function quoteText(text: string): string | undefined {
  if (!text.includes('"')) return `"${text}"`;
  return text.includes("'") ? undefined : `'${text}'`;
}

const pattern =
  /\s*(?:(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|("[^"\\]*"|'[^'\\]*')|([A-Za-z_]\w*)|(==|!=|<=|>=|\/\/|\*\*|[-+*/%()<>|[\].,~]))/y;

const compared = new Set(["==", "!=", "<", "<=", ">", ">="]);
const whole = "(number(x) - number(x) % 1)";

/** Filters without an argument, as expressions of their input `x`. */
const filters: Readonly<Record<string, string>> = {
  float: "number(x)",
  int: whole,
  abs: "max(x, -x)",
  lower: "lower(x)",
  upper: "upper(x)",
  string: "text(x)",
  round: "round(x)",
};
/** Filters with one number `y`: digits, a factor, or the value for an input that is not a number. */
const withNumber: Readonly<Record<string, string>> = {
  float: "(number(x) == number(x) ? number(x) : y)",
  int: `(number(x) == number(x) ? ${whole} : y)`,
  round: "round(x, y)",
  add: "(x + y)",
  multiply: "(x * y)",
};

class TemplateParser {
  /** Path of the part of the payload that the template reads; undefined: the payload itself. */
  path: string | undefined;
  #reads = false;
  readonly #tokens: TokenStream;
  #depth = 0;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  conditional(): string {
    this.#depth += 1;
    // The parser is recursive; the payload of an announcement could exhaust its stack.
    if (this.#depth > 20) throw new SyntaxError("is nested too deep");
    const yes = this.#either();
    this.#depth -= 1;
    if (!this.#takeName("if")) return yes;
    const test = this.#either();
    if (!this.#takeName("else")) throw new SyntaxError("has an if without else");
    return `(${test} ? ${yes} : ${this.conditional()})`;
  }

  end(): void {
    const rest = this.#tokens.peek();
    if (rest.kind !== "end") throw untranslatable(rest.text);
  }

  #either(): string {
    let left = this.#both();
    while (this.#takeName("or")) left = `(${left} || ${this.#both()})`;
    return left;
  }

  #both(): string {
    let left = this.#negation();
    while (this.#takeName("and")) left = `(${left} && ${this.#negation()})`;
    return left;
  }

  #negation(): string {
    return this.#takeName("not") ? `!(${this.#negation()})` : this.#comparison();
  }

  #comparison(): string {
    const left = this.#sum();
    const sign = this.#takeSign(compared);
    return sign === undefined ? left : `(${left} ${sign} ${this.#sum()})`;
  }

  #sum(): string {
    let left = this.#product();
    for (;;) {
      const sign = this.#takeSign(sums);
      if (sign === undefined) return left;
      const right = this.#product();
      // In the expression language + also concatenates texts, which Jinja does not do.
      const numbers = sign === "-" || isNumber(left) || isNumber(right);
      if (!numbers) throw new SyntaxError("can add numbers only");
      left = `(${left} ${sign} ${right})`;
    }
  }

  #product(): string {
    let left = this.#filtered();
    for (;;) {
      const sign = this.#takeSign(products);
      if (sign === undefined) return left;
      left = `(${left} ${sign} ${this.#filtered()})`;
    }
  }

  #filtered(): string {
    let inner = this.#takeSign(minus) === undefined ? this.#primary() : `-${this.#primary()}`;
    while (this.#takeSign(pipe) !== undefined) inner = this.#call(this.#name(), inner);
    return inner;
  }

  #call(name: string, inner: string): string {
    const argument = this.#takeSign(open) === undefined ? undefined : this.#argument();
    const table = argument === undefined ? filters : withNumber;
    const form = Object.hasOwn(table, name) ? table[name] : undefined;
    if (form === undefined) throw new SyntaxError(`cannot translate the filter "${name}"`);
    return form.replaceAll(/\b[xy]\b/g, (place) => (place === "x" ? inner : (argument ?? "")));
  }

  /** @returns undefined for an empty pair of brackets */
  #argument(): string | undefined {
    if (this.#takeSign(close) !== undefined) return undefined;
    const sign = this.#takeSign(minus) ?? "";
    const token = this.#tokens.next();
    if (token.kind !== "number" || this.#takeSign(close) === undefined)
      throw new SyntaxError("can give a filter one number only");
    return sign + token.text;
  }

  #primary(): string {
    const token = this.#tokens.next();
    if (token.kind === "number") return token.text;
    if (token.kind === "text") return quoted(token.text);
    if (token.kind === "name") return this.#value(token.text);
    if (token.text !== "(") throw untranslatable(wordOf(token));
    const inner = this.conditional();
    if (this.#takeSign(close) === undefined) throw new SyntaxError("has an unclosed bracket");
    return inner;
  }

  #value(name: string): string {
    if (/^(true|false)$/i.test(name)) return name.toLowerCase();
    if (name !== "value" && name !== "value_json") throw new SyntaxError(`cannot translate "${name}"`);
    const path = name === "value" ? undefined : this.#readPath();
    if (this.#reads && path !== this.path) throw new SyntaxError("reads more than one part of the payload");
    this.#reads = true;
    this.path = path;
    return "value";
  }

  #readPath(): string | undefined {
    let path = "$";
    for (;;) {
      if (this.#takeSign(dot) !== undefined) path += `.${this.#name()}`;
      else if (this.#takeSign(bracket) !== undefined) path += this.#index();
      else break;
    }
    if (!isPath(path)) throw new SyntaxError(`cannot translate the path ${path}`);
    return path === "$" ? undefined : path;
  }

  #index(): string {
    const token = this.#tokens.next();
    if (this.#takeSign(bracketEnd) === undefined) throw new SyntaxError("has an unclosed bracket");
    if (token.kind === "number") return `[${token.text}]`;
    if (token.kind === "text") return `[${quoted(token.text)}]`;
    throw new SyntaxError(`cannot translate "[${token.text}]"`);
  }

  #name(): string {
    const token = this.#tokens.next();
    if (token.kind !== "name") throw untranslatable(wordOf(token));
    return token.text;
  }

  #takeName(name: string): boolean {
    return this.#tokens.take("name", name);
  }

  #takeSign(signs: ReadonlySet<string>): string | undefined {
    const { kind, text } = this.#tokens.peek();
    return kind === "sign" && signs.has(text) ? this.#tokens.next().text : undefined;
  }
}

const sums = new Set(["+", "-"]);
const products = new Set(["*", "/"]);
const minus = new Set(["-"]);
const pipe = new Set(["|"]);
const open = new Set(["("]);
const close = new Set([")"]);
const dot = new Set(["."]);
const bracket = new Set(["["]);
const bracketEnd = new Set(["]"]);

function untranslatable(text: string): SyntaxError {
  return new SyntaxError(`cannot translate "${text}"`);
}

function wordOf({ kind, text }: Token): string {
  return kind === "end" ? "its end" : text;
}

/** Whether a translated part is known to be a number. */
function isNumber(expression: string): boolean {
  return /^-?\d/.test(expression) || /^(number|round|max)\(/.test(expression);
}

function quoted(text: string): string {
  const written = quoteText(text);
  if (written === undefined) throw new SyntaxError("has a text with both kinds of quotes");
  return written;
}
