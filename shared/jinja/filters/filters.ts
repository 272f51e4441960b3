import {
  given,
  type Callable,
  type Given,
  calculate,
  excerpt,
  need,
  roundEven,
  toFloat,
  toInt,
  isTrue,
  jsonText,
  NoValue,
  parseDocument,
  RenderError,
  textOf,
  type Value,
} from "#shared/jinja/values";
import { listFilters } from "./list-filters.ts";
import type { Patterns } from "./regex.ts";
import { textFilters } from "./text-filters.ts";

type Table = Readonly<Partial<Record<string, Callable>>>;

/** The filters of a template: Jinja's and Home Assistant's that depend on nothing but their input. */
export function filtersWith(patterns: Patterns): Table {
  return Object.assign(
    Object.create(null) as object,
    values,
    listFilters,
    textFilters,
    regexFilters(patterns),
  );
}

/** Functions that are called by name, `float(x)` for `x | float`. */
export const functionNames: ReadonlySet<string> = new Set([
  "float",
  "int",
  "bool",
  "iif",
  "min",
  "max",
  "is_number",
  "from_json",
  "to_json",
  "zip",
]);

const values: Table = {
  default: (input, args) => {
    const isMissing = input === undefined || (isTrue(given(args, 1, "boolean")) && !isTrue(input));
    return isMissing
      ? args.list.length > 0 || args.named.has("default_value")
        ? given(args, 0, "default_value")
        : ""
      : input;
  },
  d: (input, args, budget) => values["default"]?.(input, args, budget),
  float: (input, args) => orDefault(toFloat(input), input, args, "float"),
  int: (input, args) => orDefault(toInt(input), input, args, "int"),
  bool: (input, args) => {
    const word = textOf(input).toLowerCase();
    if (["true", "yes", "on", "enable", "1"].includes(word)) return true;
    return ["false", "no", "off", "disable", "0"].includes(word)
      ? false
      : orDefault(undefined, input, args, "bool");
  },
  is_number: (input) => Number.isFinite(toFloat(input) ?? Number.NaN),
  round: (input, args) => {
    const digits = Number(toInt(given(args, 0, "precision") ?? 0n) ?? 0n);
    const number = toFloat(input);
    if (number === undefined)
      return orDefault(undefined, input, { ...args, list: args.list.slice(2) }, "round");
    const rounded = round(
      number,
      Math.max(-15, Math.min(15, digits)),
      textOf(given(args, 1, "method") ?? "common"),
    );
    return digits === 0 ? toInt(rounded) : rounded;
  },
  abs: (input) => (typeof input === "bigint" ? (input < 0n ? -input : input) : Math.abs(need(input, "abs"))),
  multiply: (input, args) => calculate("*", need(input, "multiply"), given(args, 0, "amount")),
  add: (input, args) => calculate("+", need(input, "add"), given(args, 0, "amount")),
  bitwise_and: (input, args) =>
    whole(input, "bitwise_and") & whole(given(args, 0, "second_value"), "bitwise_and"),
  bitwise_or: (input, args) =>
    whole(input, "bitwise_or") | whole(given(args, 0, "second_value"), "bitwise_or"),
  bitwise_xor: (input, args) =>
    whole(input, "bitwise_xor") ^ whole(given(args, 0, "second_value"), "bitwise_xor"),
  iif: (input, args) => {
    if (input === null && (args.list.length > 2 || args.named.has("if_none")))
      return given(args, 2, "if_none");
    const has = (index: number, name: string): boolean => args.list.length > index || args.named.has(name);
    if (isTrue(input)) return has(0, "if_true") ? given(args, 0, "if_true") : true;
    return has(1, "if_false") ? given(args, 1, "if_false") : false;
  },
  is_defined: (input) => {
    if (input === undefined) throw new NoValue("it is not defined");
    return input;
  },
  from_json: (input, args) => {
    if (input === undefined) throw new NoValue("no text");
    const document = typeof input === "string" ? parseDocument(input) : undefined;
    return document === undefined ? orDefault(undefined, input, args, "from_json") : document;
  },
  to_json: (input) => jsonText(input),
  tojson: (input) => jsonText(input),
};

/** @throws RenderError for an input that cannot be converted, unless there is a default */
function orDefault(converted: Value, input: Value, args: Given, name: string): Value {
  if (converted !== undefined) return converted;
  if (args.list.length > 0) return args.list[0];
  if (args.named.has("default")) return args.named.get("default");
  if (input === undefined) throw new NoValue(`nothing for ${name}`);
  throw new RenderError(`${name} cannot convert ${excerpt(input)}`);
}

function round(number: number, digits: number, method: string): number {
  const factor = 10 ** digits;
  if (method === "floor") return Math.floor(number * factor) / factor;
  if (method === "ceil") return Math.ceil(number * factor) / factor;
  return method === "half" ? roundEven(number * 2, 0) / 2 : roundEven(number, digits);
}

function whole(value: Value, name: string): bigint {
  if (value === undefined) throw new NoValue(name);
  const number = typeof value === "string" ? undefined : toInt(value);
  if (number === undefined) throw new RenderError(`${name} needs a whole number, got ${excerpt(value)}`);
  return number;
}

function regexFilters(patterns: Patterns): Table {
  const find = text("find");
  return {
    regex_match: (input, args, budget) => patterns.test(find(args), needText(input), budget, "start"),
    regex_search: (input, args, budget) => patterns.test(find(args), needText(input), budget),
    regex_replace: (input, args, budget) =>
      patterns.replace(find(args), needText(input), textOf(given(args, 1, "replace") ?? ""), budget),
    regex_findall: (input, args, budget) => findAll(patterns.matches(find(args), needText(input), budget)),
    regex_findall_index: (input, args, budget) => {
      const index = Number(toInt(given(args, 1, "index") ?? 0n) ?? 0n);
      const found = findAll(patterns.matches(find(args), needText(input), budget)).at(index);
      if (found === undefined) throw new RenderError("regex_findall_index found nothing");
      return found;
    },
  };
}

/** As Python's `findall`: the groups of each match, of several a list. */
function findAll(matches: readonly (readonly string[])[]): Value[] {
  return matches.map(([whole, ...groups]) => (groups.length > 1 ? groups : (groups[0] ?? whole)));
}

function text(name: string): (args: Given) => string {
  return (args) => textOf(given(args, 0, name) ?? "");
}

function needText(value: Value): string {
  if (value === undefined) throw new NoValue("no text");
  if (typeof value !== "string") throw new RenderError(`a pattern needs a text, got ${excerpt(value)}`);
  return value;
}
