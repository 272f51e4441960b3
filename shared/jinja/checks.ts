import { entriesOf, isList, numberOf, textOf, type Value } from "#shared/jinja/values";

/** Tests: `x is defined`. */
export const checks: Readonly<Partial<Record<string, (value: Value) => boolean>>> = Object.assign(
  Object.create(null) as object,
  {
    defined: (value: Value) => value !== undefined,
    undefined: (value: Value) => value === undefined,
    none: (value: Value) => value === null,
    string: (value: Value) => typeof value === "string",
    number: (value: Value) => numberOf(value) !== undefined,
    integer: (value: Value) => typeof value === "bigint",
    float: (value: Value) => typeof value === "number",
    boolean: (value: Value) => typeof value === "boolean",
    true: (value: Value) => value === true,
    false: (value: Value) => value === false,
    mapping: (value: Value) => entriesOf(value) !== undefined,
    list: (value: Value) => isList(value),
    sequence: (value: Value) => isList(value) || typeof value === "string" || entriesOf(value) !== undefined,
    iterable: (value: Value) => isList(value) || typeof value === "string" || entriesOf(value) !== undefined,
    odd: (value: Value) => typeof value === "bigint" && value % 2n !== 0n,
    even: (value: Value) => typeof value === "bigint" && value % 2n === 0n,
    lower: (value: Value) => textOf(value) === textOf(value).toLowerCase(),
    upper: (value: Value) => textOf(value) === textOf(value).toUpperCase(),
  },
);
