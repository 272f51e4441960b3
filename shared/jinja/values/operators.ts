import type { Budget } from "./budget.ts";
import { calculate, excerpt } from "./numbers.ts";
import {
  entriesOf,
  isEqual,
  isList,
  member,
  NoValue,
  numberOf,
  RenderError,
  textOf,
  type Value,
} from "./values.ts";

export type Binary = (a: Value, b: Value, budget: Budget) => Value;

/** Operators of two values, without `and` and `or`. */
export const binaries: Readonly<Partial<Record<string, Binary>>> = Object.assign(
  Object.create(null) as object,
  {
    "==": (a: Value, b: Value) => isEqual(a, b),
    "!=": (a: Value, b: Value) => !isEqual(a, b),
    "<": (a: Value, b: Value) => order(a, b) < 0,
    "<=": (a: Value, b: Value) => order(a, b) <= 0,
    ">": (a: Value, b: Value) => order(a, b) > 0,
    ">=": (a: Value, b: Value) => order(a, b) >= 0,
    in: (a: Value, b: Value, budget: Budget) => contains(a, b, budget),
    "not in": (a: Value, b: Value, budget: Budget) => !contains(a, b, budget),
    "~": (a: Value, b: Value) => defined(textOf(a), a, b) + textOf(b),
    "+": (a: Value, b: Value, budget: Budget) => budget.weigh(add(a, b)),
    "-": (a: Value, b: Value) => calculate("-", defined(a, a, b), b),
    "*": (a: Value, b: Value) => calculate("*", defined(a, a, b), b),
    "/": (a: Value, b: Value) => calculate("/", defined(a, a, b), b),
    "//": (a: Value, b: Value) => calculate("//", defined(a, a, b), b),
    "%": (a: Value, b: Value) => calculate("%", defined(a, a, b), b),
  },
);

/** Compared with each other, `1 < x < 3` means another thing to the library's parser than to Python. */
export const comparisons: ReadonlySet<string> = new Set(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]);

function defined<T>(result: T, ...operands: readonly Value[]): T {
  if (operands.includes(undefined)) throw new NoValue("nothing to compute with");
  return result;
}

function add(a: Value, b: Value): Value {
  if (typeof a === "string" && typeof b === "string") return a + b;
  if (isList(a) && isList(b)) return [...a, ...b];
  return calculate("+", defined(a, a, b), b);
}

/** @throws RenderError for values that Python does not compare: a text is neither less nor more than a number */
export function order(a: Value, b: Value): number {
  if (typeof a === "string" && typeof b === "string") return a === b ? 0 : a < b ? -1 : 1;
  const [left, right] = [numberOf(defined(a, a, b)), numberOf(b)];
  if (left === undefined || right === undefined)
    throw new RenderError(`cannot compare ${excerpt(a)} with ${excerpt(b)}`);
  return left - right;
}

function contains(item: Value, of: Value, budget: Budget): boolean {
  if (of === undefined) return false;
  if (typeof of === "string") {
    budget.text(of.length);
    if (typeof item !== "string") throw new RenderError(`cannot look for ${excerpt(item)} in a text`);
    return of.includes(item);
  }
  if (isList(of)) {
    budget.list(of.length);
    return of.some((one) => isEqual(one, item));
  }
  if (!entriesOf(of)) throw new RenderError(`cannot look for anything in ${excerpt(of)}`);
  return member(of, item) !== undefined;
}
