import { isRecord } from "#shared/json";

/**
 * A value of a template, as Python has it: `undefined` is a name without a value, null is None, a bigint is an integer
 * and a number is a float. Mappings are records of JSON documents, or `Dict` where keys may be other than texts.
 */
export type Value =
  | undefined
  | null
  | boolean
  | bigint
  | number
  | string
  | readonly Value[]
  | Dict
  | Namespace
  | Readonly<Record<string, unknown>>;

/** A mapping written in a template. */
export class Dict {
  readonly entries: ReadonlyMap<string, readonly [Value, Value]>;

  /** The last of equal keys wins. */
  constructor(entries: readonly (readonly [Value, Value])[]) {
    this.entries = new Map(entries.map((entry) => [keyOf(entry[0]), entry]));
  }
}

/** `namespace(…)`, the only thing that a template can change from within a loop. */
export class Namespace {
  readonly members = new Map<string, Value>();
}

/** What cannot be computed from this payload. The text goes into an Event. */
export class RenderError extends Error {
  override readonly name = "RenderError";
}

/** The payload does not have what the template reads: there is no value, and nothing is wrong. */
export class NoValue extends Error {
  override readonly name = "NoValue";
}

/** Equal keys have equal texts: 1, 1.0 and True are one key in Python. */
function keyOf(key: Value): string {
  if (typeof key === "string") return `s${key}`;
  const number = numberOf(key);
  return number === undefined ? `v${textOf(key)}` : `n${number}`;
}

/** An integer, a float or a truth value as a number; undefined for everything else. */
export function numberOf(value: Value): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "bigint" || typeof value === "boolean" ? Number(value) : undefined;
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** An object of a JSON document. */
export function isJsonObject(value: Value): value is Readonly<Record<string, Value>> {
  return isRecord(value) && !(value instanceof Dict) && !(value instanceof Namespace);
}

/** The entries of a mapping; undefined for everything else. */
export function entriesOf(value: Value): readonly (readonly [Value, Value])[] | undefined {
  if (value instanceof Dict) return [...value.entries.values()];
  return isJsonObject(value) ? Object.entries(value) : undefined;
}

/** The member of a mapping, list or text; undefined when there is none. */
export function member(of: Value, key: Value): Value {
  if (of === undefined) throw new NoValue("nothing has members here");
  if (of instanceof Namespace) return typeof key === "string" ? of.members.get(key) : undefined;
  if (of instanceof Dict) return of.entries.get(keyOf(key))?.[1];
  if (isList(of) || typeof of === "string") return typeof key === "bigint" ? of.at(Number(key)) : undefined;
  return isJsonObject(of) && typeof key === "string" && Object.hasOwn(of, key) ? of[key] : undefined;
}

export function isTrue(value: Value): boolean {
  if (typeof value === "string" || isList(value)) return value.length > 0;
  const number = numberOf(value);
  if (number !== undefined) return number !== 0;
  return value instanceof Namespace || (entriesOf(value)?.length ?? 0) > 0;
}

/** As Python's `==`: a text never equals a number. */
export function isEqual(a: Value, b: Value): boolean {
  if (typeof a === "bigint" && typeof b === "bigint") return a === b;
  const [left, right] = [numberOf(a), numberOf(b)];
  if (left !== undefined && right !== undefined) return left === right;
  if (isList(a) && isList(b)) return a.length === b.length && a.every((one, index) => isEqual(one, b[index]));
  const [ofA, ofB] = [entriesOf(a), entriesOf(b)];
  if (!ofA || !ofB) return a === b;
  return ofA.length === ofB.length && ofA.every(([key, value]) => isEqual(value, member(b, key)));
}

/** As Python prints it; "" for undefined. */
export function textOf(value: Value): string {
  if (typeof value === "string") return value;
  return value === undefined ? "" : quotedText(value);
}

function quotedText(value: Value): string {
  if (value === undefined) return "Undefined";
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "string") return `'${value.replaceAll("\\", "\\\\").replaceAll("'", String.raw`\'`)}'`;
  if (typeof value === "number") return floatText(value);
  if (typeof value === "bigint") return value.toString();
  if (isList(value)) return `[${value.map(quotedText).join(", ")}]`;
  const entries = (entriesOf(value) ?? []).map(([key, one]) => `${quotedText(key)}: ${quotedText(one)}`);
  return `{${entries.join(", ")}}`;
}

/** As Python's `repr(float)`: shortest digits, `21.0`, an exponent from 1e16 on and below 1e-4. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e16 || size < 1e-4))
    return value.toExponential().replace(/e([+-])(\d)$/, "e$10$2");
  if (Object.is(value, -0)) return "-0.0";
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

/** The types do not have this parameter of revivers yet, hence the cast. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context?: { readonly source?: string }) => unknown,
) => Value;

/** A JSON document with integers apart from floats, of any size. @returns undefined for a text that is not JSON */
export function parseDocument(text: string): Value {
  try {
    return parseWithSource(text, (_, value, context) =>
      typeof value === "number" && /^-?\d{1,300}$/.test(context?.source ?? "")
        ? BigInt(context?.source ?? "")
        : value,
    );
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** As Home Assistant's `to_json` writes it: without blanks. */
export function jsonText(value: Value): string {
  if (value === undefined) throw new NoValue("nothing to write as JSON");
  if (typeof value === "bigint") return value.toString();
  if (isList(value)) return `[${value.map(jsonText).join(",")}]`;
  const entries = entriesOf(value);
  if (!entries) return JSON.stringify(value instanceof Namespace ? null : value);
  return `{${entries.map(([key, one]) => `${JSON.stringify(textOf(key))}:${jsonText(one)}`).join(",")}}`;
}
