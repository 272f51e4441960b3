import type { ModelProperty } from "#shared/kube";

/** KubeEdge's limit of a twin value in characters (`dtcommon/util.go`, ValidateTwinValue). */
export const longestTwinValue = 512;

/** DOUBLE is a float of 64 bits like FLOAT here: values are kept as texts. */
const twinTypes: ReadonlyMap<string, string> = new Map([
  ["INT", "int"],
  ["FLOAT", "float"],
  ["DOUBLE", "float"],
  ["BOOLEAN", "boolean"],
]);

/** The twin type of a model's property; undefined when the model does not give a type. Unknown types are strings. */
export function twinTypeOf(property: Pick<ModelProperty, "type"> | undefined): string | undefined {
  return property?.type === undefined ? undefined : (twinTypes.get(property.type) ?? "string");
}

/** Whether a word is the name of a twin type. */
export function isTwinType(word: string): boolean {
  return fitsType("0", word) !== undefined;
}

/**
 * Whether a text is a value of a twin type, as KubeEdge checks it (`dtcommon/util.go`, ValidateValue). An empty text is
 * a value of type string only.
 * @returns undefined for an unknown type
 */
export function fitsType(value: string, type: string): boolean | undefined {
  return checks[type]?.(value);
}

const whole = /^[+-]?\d+$/;
const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** A signed integer of 64 bits, as Go's `strconv.ParseInt`. Up to 15 digits always fit. */
function isInt(value: string): boolean {
  if (!whole.test(value)) return false;
  if (value.length < 16) return true;
  const digits = value.startsWith("+") ? value.slice(1) : value;
  return BigInt.asIntN(64, BigInt(digits)) === BigInt(digits);
}

function isFloat(value: string): boolean {
  return decimal.test(value) && Number.isFinite(Number(value));
}

const checks: Readonly<Partial<Record<string, (value: string) => boolean>>> = Object.assign(
  Object.create(null) as object,
  {
    string: () => true,
    int: isInt,
    integer: isInt,
    float: isFloat,
    boolean: (value: string) => value === "true" || value === "false",
  },
);
