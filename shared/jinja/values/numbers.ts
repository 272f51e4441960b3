import { floatText, isTrue, NoValue, numberOf, RenderError, type Value } from "./values.ts";

/** A decimal number as Python's `float()` and `int()` read it; digits may have `_` between them there, not here. */
const decimal = /^\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?\s*$/;
const whole = /^\s*[+-]?\d{1,100}\s*$/;

/** @returns undefined for what is no number */
export function toFloat(value: Value): number | undefined {
  if (typeof value === "string") return decimal.test(value) ? Number(value) : undefined;
  return numberOf(value);
}

/** Whole part of a number, also of a text such as "21.5". @returns undefined for what is no number */
export function toInt(value: Value): bigint | undefined {
  if (typeof value === "bigint") return value;
  if (typeof value === "string" && whole.test(value)) return BigInt(value.trim().replace(/^\+/, ""));
  const number = toFloat(value);
  return number === undefined || !Number.isFinite(number) ? undefined : BigInt(Math.trunc(number));
}

/** A number for arithmetic. @throws RenderError for what is none */
export function need(value: Value, what: string): number {
  if (value === undefined) throw new NoValue(what);
  const number = toFloat(value);
  if (number === undefined) throw new RenderError(`${what} needs a number, got ${excerpt(value)}`);
  return number;
}

export function excerpt(value: Value): string {
  if (value === null) return "None";
  return typeof value === "string" ? JSON.stringify(value.slice(0, 50)) : `a ${typeName(value)}`;
}

function typeName(value: Value): string {
  if (typeof value === "number") return `float ${floatText(value)}`;
  if (typeof value === "bigint") return `whole number ${value}`;
  if (typeof value === "boolean") return `truth value`;
  return Array.isArray(value) ? "list" : "mapping";
}

/** As Python's `round(x, digits)`: halves go to the even neighbour, of the exact value of the float. */
export function roundEven(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value;
  if (digits < 0) return roundEven(value / 10 ** -digits, 0) * 10 ** -digits;
  const exact = Math.abs(value).toFixed(Math.min(100, digits + 60));
  const cut = exact.indexOf(".") + 1 + digits;
  const rounded = Math.abs(value).toFixed(digits);
  const isHalf = /^50*$/.test(exact.slice(cut));
  const size = isHalf && /[13579]\.?$/.test(rounded) ? Number(rounded) - 10 ** -digits : Number(rounded);
  return Math.sign(value) * Number(size.toFixed(digits));
}

/** Arithmetic of two numbers. Integers stay integers, as in Python; `/` makes a float. */
export function calculate(sign: string, a: Value, b: Value): Value {
  if (typeof a === "boolean" || typeof b === "boolean") return calculate(sign, asNumber(a), asNumber(b));
  if (typeof a === "bigint" && typeof b === "bigint" && sign !== "/") return wholeNumbers(sign, a, b);
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left === undefined || right === undefined)
    throw new RenderError(`cannot compute ${excerpt(a)} ${sign} ${excerpt(b)}`);
  if (right === 0 && divisions.has(sign)) throw new RenderError("divides by zero");
  const floats = floatSigns[sign];
  if (!floats) throw new RenderError(`cannot compute with ${sign}`);
  return floats(left, right);
}

const divisions: ReadonlySet<string> = new Set(["/", "//", "%"]);

function asNumber(value: Value): Value {
  return typeof value === "boolean" ? BigInt(isTrue(value)) : value;
}

const floatSigns: Readonly<Partial<Record<string, (a: number, b: number) => number>>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "//": (a, b) => Math.floor(a / b),
  "%": (a, b) => a - b * Math.floor(a / b),
};

function wholeNumbers(sign: string, a: bigint, b: bigint): bigint {
  if (b === 0n && divisions.has(sign)) throw new RenderError("divides by zero");
  switch (sign) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "//":
      return floorDivide(a, b);
    case "%":
      return a - b * floorDivide(a, b);
    default:
      throw new RenderError(`cannot compute with ${sign}`);
  }
}

/** Python rounds down, JavaScript towards zero. */
function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}
