import type { ModelProperty } from "#shared/kube";

const twinTypes: ReadonlyMap<string, string> = new Map([
  ["INT", "int"],
  ["FLOAT", "float"],
  ["DOUBLE", "float"],
  ["BOOLEAN", "boolean"],
]);

/** The type twins have for a property of a model; undefined when the model names none. */
export function twinTypeOf(property: Pick<ModelProperty, "type"> | undefined): string | undefined {
  return property?.type === undefined ? undefined : (twinTypes.get(property.type) ?? "string");
}

/** Whether a word names a type a twin may have. */
export function isTwinType(word: string): boolean {
  return fitsType("0", word) !== undefined;
}

/** Whether the text is a value of the type, an empty one a string; undefined for a type there is not. */
export function fitsType(value: string, type: string): boolean | undefined {
  return judges[type]?.(value);
}

const whole = /^[+-]?\d+$/;
const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;

/** KubeEdge's limits: 64 bits. */
function isInt(value: string): boolean {
  if (!whole.test(value)) return false;
  if (value.length < 16) return true;
  const digits = value.startsWith("+") ? value.slice(1) : value;
  return BigInt.asIntN(64, BigInt(digits)) === BigInt(digits);
}

function isFloat(value: string): boolean {
  return decimal.test(value) && Number.isFinite(Number(value));
}

const judges: Readonly<Partial<Record<string, (value: string) => boolean>>> = Object.assign(
  Object.create(null) as object,
  {
    string: () => true,
    int: isInt,
    integer: isInt,
    float: isFloat,
    boolean: (value: string) => value === "true" || value === "false",
  },
);
