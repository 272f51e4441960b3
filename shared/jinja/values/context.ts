import type { Budget } from "./budget.ts";
import type { Value } from "./values.ts";

/** Names of a template while it is rendered. */
export class Scope {
  readonly #values = new Map<string, Value>();
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  find(name: string): Value {
    return this.#values.has(name) ? this.#values.get(name) : this.#outer?.find(name);
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value);
  }
}

/** One rendering. */
export interface Rendering {
  readonly scope: Scope;
  readonly budget: Budget;
  readonly output: Output;
}

/** What a template prints. */
export class Output {
  readonly #parts: string[] = [];
  readonly #budget: Budget;
  #length = 0;
  /** Whether something without a value was printed, which leaves a gap. */
  hasGap = false;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  add(text: string): void {
    this.#length += text.length;
    this.#budget.text(this.#length);
    this.#parts.push(text);
  }

  get text(): string {
    return this.#parts.join("");
  }
}

export type Compute = (rendering: Rendering) => Value;
/** `break` and `continue` end the body of a loop. */
export type Run = (rendering: Rendering) => "break" | "continue" | undefined;

/** Values given in brackets. */
export interface Given {
  readonly list: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** The argument at a place, or with a name. */
export function given({ list, named }: Given, index: number, name: string): Value {
  return index < list.length ? list[index] : named.get(name);
}

/** A filter, function or method. @param input what it is applied to */
export type Callable = (input: Value, args: Given, budget: Budget) => Value;
