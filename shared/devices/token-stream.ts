export interface Token {
  readonly kind: "number" | "text" | "name" | "sign" | "end";
  /** of a text: what is between its quotes */
  readonly text: string;
}

const end: Token = { kind: "end", text: "end of text" };

/** The words of a small language, one after the other. */
export class TokenStream {
  readonly #all: readonly Token[];
  #at = 0;

  /**
   * @param pattern sticky, with groups for number, quoted text, name and sign
   * @param unexpected makes the error for what begins no word, given the rest of the text
   * @throws what `unexpected` makes
   */
  constructor(text: string, pattern: RegExp, unexpected: (rest: string) => Error) {
    const tokens: Token[] = [];
    pattern.lastIndex = 0;
    while (pattern.lastIndex < text.trimEnd().length) {
      const at = pattern.lastIndex;
      const hit = pattern.exec(text);
      if (!hit) throw unexpected(text.slice(at).trim());
      const [, number, quoted, name, sign] = hit;
      if (number !== undefined) tokens.push({ kind: "number", text: number });
      else if (quoted !== undefined) tokens.push({ kind: "text", text: quoted.slice(1, -1) });
      else if (name !== undefined) tokens.push({ kind: "name", text: name });
      else tokens.push({ kind: "sign", text: sign ?? "" });
    }
    this.#all = tokens;
  }

  /** The next word, which stays the next; of kind `end` behind the last. */
  peek(): Token {
    return this.#all[this.#at] ?? end;
  }

  next(): Token {
    const token = this.peek();
    this.#at += 1;
    return token;
  }

  /** Goes on when the next word is this one. */
  take(kind: "name" | "sign", text: string): boolean {
    const token = this.peek();
    if (token.kind !== kind || token.text !== text) return false;
    this.#at += 1;
    return true;
  }
}
