import type { ModelProperty } from "#shared/kube";

const twinTypes: Readonly<Record<string, string>> = {
  INT: "int",
  FLOAT: "float",
  DOUBLE: "float",
  BOOLEAN: "boolean",
};

/** The type twins have for a property of a model; undefined when the model names none. */
export function twinTypeOf(property: Pick<ModelProperty, "type"> | undefined): string | undefined {
  return property?.type === undefined ? undefined : (twinTypes[property.type] ?? "string");
}

/** Whether a word names a type a twin may have. */
export function isTwinType(word: string): boolean {
  return fitsType("0", word) !== undefined;
}

/** Whether the text can stand for a value of the type; undefined for a type there is not. */
export function fitsType(value: string, type: string): boolean | undefined {
  const fits = judges[type];
  return fits && (value === "" || fits(value));
}

const whole = /^[+-]?\d+$/;
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

const judges: Readonly<Partial<Record<string, (value: string) => boolean>>> = Object.assign(
  Object.create(null) as object,
  {
    string: () => true,
    int: (value: string) => whole.test(value),
    integer: (value: string) => whole.test(value),
    float: (value: string) => decimal.test(value),
    boolean: (value: string) => value === "true" || value === "false",
  },
);
