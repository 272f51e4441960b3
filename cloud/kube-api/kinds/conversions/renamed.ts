import type { JsonObject } from "#shared/json";

/** The object with some of its fields under other names, in the same order. */
export function renamed(object: JsonObject, names: Readonly<Record<string, string>>): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([field, value]) => [names[field] ?? field, value] as const),
  );
}
