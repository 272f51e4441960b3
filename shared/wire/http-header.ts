import { asRecord } from "#shared/json";

/** Header fields as Go's http.Header in JSON: name → values. */
export function headerToJson(
  fields: readonly (readonly [name: string, value: string])[],
): Readonly<Record<string, readonly string[]>> {
  const values = new Map<string, string[]>();
  for (const [name, value] of fields) {
    const known = values.get(name);
    if (known) known.push(value);
    else values.set(name, [value]);
  }
  // Not assigned one by one: a header may be called `__proto__`.
  return Object.fromEntries(values);
}

/** Reads Go's http.Header from JSON; what is no text in it is skipped. */
export function headerFromJson(header: unknown): (readonly [name: string, value: string])[] {
  return Object.entries(asRecord(header) ?? {}).flatMap(([name, values]) =>
    [values]
      .flat()
      .filter((value) => typeof value === "string")
      .map((value) => [name, value] as const),
  );
}
