/** A word of the expression or the template language. */
export interface Token {
  readonly kind: "number" | "text" | "name" | "sign" | "end";
  /** As written; of a quoted text without its quotes. */
  readonly text: string;
}

const end: Token = { kind: "end", text: "end of text" };

/** Splits a text into tokens and hands them out one after the other. */
export class TokenStream {
  readonly #all: readonly Token[];
  #next = 0;

  /**
   * @param pattern sticky, with groups for number, quoted text, name and sign
   * @param unexpected makes the error for a rest that does not start with a token
   * @throws the error made by `unexpected`
   */
  constructor(text: string, pattern: RegExp, unexpected: (rest: string) => Error) {
    const tokens: Token[] = [];
    pattern.lastIndex = 0;
    while (pattern.lastIndex < text.trimEnd().length) {
      const start = pattern.lastIndex;
      const hit = pattern.exec(text);
      if (!hit) throw unexpected(text.slice(start).trim());
      const [, number, quoted, name, sign] = hit;
      if (number !== undefined) tokens.push({ kind: "number", text: number });
      else if (quoted !== undefined) tokens.push({ kind: "text", text: quoted.slice(1, -1) });
      else if (name !== undefined) tokens.push({ kind: "name", text: name });
      else tokens.push({ kind: "sign", text: sign ?? "" });
    }
    this.#all = tokens;
  }

  /** The next token, without consuming it; of kind `end` after the last one. */
  peek(): Token {
    return this.#all[this.#next] ?? end;
  }

  /** Consumes the next token. */
  next(): Token {
    const token = this.peek();
    this.#next += 1;
    return token;
  }

  /** Consumes the next token if it is this one. @returns whether it was */
  take(kind: "name" | "sign", text: string): boolean {
    const token = this.peek();
    if (token.kind !== kind || token.text !== text) return false;
    this.#next += 1;
    return true;
  }
}
