import type { Json, JsonObject } from "#shared/json";
import * as fc from "fast-check";

/** Keys that mean something to JavaScript, to a JSON pointer or to a patch, among ordinary ones. */
export const key: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("a", "b", "c", "name", "metadata", "spec", "labels") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "__proto__",
      "constructor",
      "prototype",
      "toString",
      "hasOwnProperty",
      "length",
      "",
      "0",
      "1",
      "-",
      "a/b",
      "~",
      "~0",
      "~1",
      "$patch",
      "é",
      "\u0000",
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 8 }) },
);

export const scalar: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false, 0, 1, -1, "", "a", "b"),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.string({ maxLength: 10 }),
);

/** An object whose keys are its own, whatever they are called. */
export function objectOf(entries: readonly (readonly [string, Json])[]): JsonObject {
  return Object.fromEntries(entries);
}

const values = fc.letrec<{ value: Json; list: Json[]; object: JsonObject }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    { weight: 3, arbitrary: scalar },
    { weight: 1, arbitrary: tie("list") },
    { weight: 2, arbitrary: tie("object") },
  ),
  list: fc.array(tie("value"), { maxLength: 5 }),
  object: fc.array(fc.tuple(key, tie("value")), { maxLength: 5 }).map(objectOf),
}));

export const json: fc.Arbitrary<Json> = values.value;
export const jsonObject: fc.Arbitrary<JsonObject> = values.object;

/** Texts of a grammar's own pieces, which come closer to what it accepts than chance does. */
export function textOf(...pieces: readonly string[]): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...pieces) },
    { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 4 }) },
  );
  return fc.array(piece, { maxLength: 30 }).map((parts) => parts.join(""));
}

/** A text of its own for each value: two are equal when theirs are, whatever their keys are called and in which order. */
export function spelled(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spelled).join()}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "undefined";
  const fields = Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}:${spelled(inner)}`);
  return `{${fields.toSorted().join()}}`;
}
