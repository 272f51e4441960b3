import { quote } from "#shared/errors";

export interface Bounds {
  /** The value when none is given. */
  readonly fallback: number;
  readonly least: number;
  readonly most: number;
}

export type WholeNumbers<Name extends string> =
  | { readonly ok: true; readonly values: Readonly<Record<Name, number>> }
  | { readonly ok: false; readonly problem: string };

/**
 * Reads the numbers of a question, given as texts (of a URL) or as numbers (of a message). What is not given has its
 * fallback; a value out of range is refused by name instead of being replaced.
 */
export function readWholeNumbers<Name extends string>(
  wanted: Readonly<Record<Name, Bounds>>,
  given: (name: NoInfer<Name>) => unknown,
): WholeNumbers<Name> {
  const values: Partial<Record<Name, number>> = {};
  // Object.keys forgets the names; at the end every one has its number.
  for (const name of Object.keys(wanted) as Name[]) {
    const { fallback, least, most } = wanted[name];
    const value = given(name);
    const number = isAbsent(value) ? fallback : toNumber(value);
    if (!Number.isInteger(number) || number < least || number > most)
      return {
        ok: false,
        problem: `${name}: expected a whole number from ${least} to ${most}, got ${quote(value)}`,
      };
    values[name] = number;
  }
  return { ok: true, values: values as Record<Name, number> };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

/** Digits alone: `Number` would read hexadecimal, exponents and blanks as well. */
function toNumber(value: unknown): number {
  if (typeof value === "string") return /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
  return typeof value === "number" ? value : Number.NaN;
}
